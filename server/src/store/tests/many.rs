//! Changes of many deliveries: in steps, and of all.

use super::*;
use crate::model::reason;
use crate::store::{Old, OldTypes};

/// Stores an event with so many deliveries in a state.
async fn with_many(store: &Store, id: &str, count: usize, webhook_id: WebhookId, state: State) {
    let deliveries = (0..count).map(|_| delivery(webhook_id, state)).collect();
    let event = NewEvent { deliveries, ..event(id) };
    store.writer.accept(vec![event]).await.unwrap();
}

#[tokio::test]
async fn events_with_more_deliveries_than_a_statement_has_variables_grow_old() {
    on_each_database(async |store| {
        let webhook_id = webhook();
        for id in ["a", "b", "c", "d"] {
            with_many(&store, id, 8_500, webhook_id, State::Missed).await;
        }
        with_many(&store, "open", 1, webhook_id, State::Pending).await;
        let types = OldTypes::AllBut(Vec::new());
        let old = Old { tenant: tenant("t"), types, before: at(1) };
        let emptied = store.history.empty_old(&old, Millis(0), 100).await.unwrap();
        assert_eq!((emptied.changed, emptied.next), (4, None));
        let deleted = store.history.delete_old(&old, Millis(0), 100).await.unwrap();
        assert_eq!((deleted.changed, deleted.next), (4, None));
        let (t, all) = (tenant("t"), DeliveryFilter::default());
        let left = store.history.list_deliveries(&t, &all, 10, None).await.unwrap();
        assert_eq!(left.data.len(), 1, "the one on its way stays");
        let oldest = store.history.oldest_by_type(&tenant("t")).await.unwrap();
        let [(_, oldest)] = oldest.into_iter().collect::<Vec<_>>()[..] else { panic!("one type") };
        assert_eq!((oldest.event, oldest.with_data), (NOW, Some(NOW)));
    })
    .await;
}

#[tokio::test]
async fn all_that_waits_is_held_released_and_cancelled_however_much_it_is() {
    on_each_database(async |store| {
        let (webhook_id, other) = (webhook(), webhook());
        with_many(&store, "a", 1_201, webhook_id, State::Pending).await;
        with_many(&store, "b", 1, other, State::Pending).await;
        let (held, why) = (reason::WEBHOOK_PAUSED, reason::WEBHOOK_DISABLED);
        let queue = &store.queue;
        assert_eq!(queue.hold_webhook(webhook_id, held, NOW).await.unwrap(), 1_201);
        assert_eq!(queue.hold_webhook(webhook_id, held, NOW).await.unwrap(), 0, "they are held");
        assert_eq!(queue.hold_webhook(webhook_id, why, NOW).await.unwrap(), 1_201);
        assert_eq!(queue.release_webhook(webhook_id, NOW).await.unwrap(), 1_201);
        assert_eq!(queue.release_webhook(webhook_id, NOW).await.unwrap(), 0);
        let cancelled = queue.cancel_webhook(webhook_id, reason::CANCELLED, NOW).await.unwrap();
        assert_eq!((cancelled.pending, cancelled.in_flight.len()), (1_201, 0));
        assert_eq!(queue.open_of_webhook(other).await.unwrap(), (0, 1));
    })
    .await;
}
