//! State transitions: which call moves a delivery from which state to which.

use super::*;
use crate::model::reason;

const STATES: [State; 7] = [
    State::Pending,
    State::InFlight,
    State::Delivered,
    State::Dropped,
    State::Failed,
    State::Cancelled,
    State::Missed,
];

#[tokio::test]
async fn retry_by_hand() {
    on_each_database(async |store| {
        for state in STATES {
            let id = standing_in(&store, state, webhook()).await;
            let attempts =
                store.history.get_delivery(&tenant("t"), id).await.unwrap().delivery.attempts;
            let answer = store.queue.retry_delivery(id, at(7)).await;
            let stored = store.history.get_delivery(&tenant("t"), id).await.unwrap();
            if matches!(state, State::Delivered | State::InFlight) {
                assert!(matches!(answer, Err(StoreError::Conflict(_))), "{state:?}");
                assert_eq!(stored.delivery.state, state);
                continue;
            }
            assert_eq!(answer.unwrap(), State::Pending, "{state:?}");
            assert_eq!(stored.delivery.state, State::Pending);
            assert_eq!(stored.delivery.next_attempt_at, Some(at(7)));
            assert_eq!(stored.delivery.reason, None);
            // Attempt numbers continue, the retry schedule restarts.
            assert_eq!(stored.delivery.attempts, attempts);
            assert_eq!(stored.schedule_start, attempts);
        }
        let unknown = store.queue.retry_delivery(DeliveryId::new(NOW), NOW).await;
        assert!(matches!(unknown, Err(StoreError::NotFound)));
    })
    .await;
}

#[tokio::test]
async fn cancel_by_hand() {
    on_each_database(async |store| {
        for state in STATES {
            let id = standing_in(&store, state, webhook()).await;
            let answer = store.queue.cancel_delivery(id, NOW).await;
            let expected = match state {
                State::Pending => State::Cancelled,
                _ => state,
            };
            assert_eq!(state_of(&store, id).await, expected);
            match state {
                State::Pending | State::InFlight => assert_eq!(answer.unwrap(), expected),
                _ => assert!(matches!(answer, Err(StoreError::Conflict(_))), "{state:?}"),
            }
        }
        let unknown = store.queue.cancel_delivery(DeliveryId::new(NOW), NOW).await;
        assert!(matches!(unknown, Err(StoreError::NotFound)));
    })
    .await;
}

#[tokio::test]
async fn an_owner_returns_what_it_has_in_flight() {
    on_each_database(async |store| {
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(standing_in(&store, State::InFlight, webhook()).await);
        }
        store.queue.cancel_delivery(ids[1], NOW).await.unwrap();
        let ended = standing_in(&store, State::Delivered, webhook()).await;
        let none = store.queue.release(&ids, &owner("other", 1), None, NOW, NOW).await;
        none.unwrap();
        assert_eq!(state_of(&store, ids[0]).await, State::InFlight, "it belongs to another node");
        ids.push(ended);
        let why = Some(reason::RECEIVER_BUSY);
        store.queue.release(&ids, &owner("me", 1), why, at(9), NOW).await.unwrap();
        let mut stands = Vec::new();
        for id in ids {
            let stored = store.history.get_delivery(&tenant("t"), id).await.unwrap().delivery;
            assert!(stored.reason.as_deref() != why || stored.attempts == 0);
            stands.push((stored.state, stored.reason, stored.next_attempt_at));
        }
        let waits = (State::Pending, why.map(ToOwned::to_owned), Some(at(9)));
        let cancelled = (State::Cancelled, Some(reason::CANCELLED.to_owned()), None);
        assert_eq!(stands, [waits.clone(), cancelled, waits, (State::Delivered, None, None)]);
    })
    .await;
}

#[tokio::test]
async fn hold_and_release_touch_what_is_pending_of_that_webhook() {
    on_each_database(async |store| {
        let (held, other) = (webhook(), webhook());
        let mut ids = Vec::new();
        for state in STATES {
            ids.push((state, standing_in(&store, state, held).await));
        }
        let bystander = standing_in(&store, State::Pending, other).await;
        assert_eq!(store.queue.hold_webhook(held, "webhook_paused", NOW).await.unwrap(), 1);
        for (state, id) in &ids {
            let stored = store.history.get_delivery(&tenant("t"), *id).await.unwrap().delivery;
            assert_eq!(stored.state, *state);
            assert_eq!(
                stored.reason.as_deref() == Some("webhook_paused"),
                *state == State::Pending
            );
            assert_eq!(stored.next_attempt_at, None);
        }
        let claimed =
            store.queue.claim_due(at(1), &me(), 10, &mut ClaimLimits::default()).await.unwrap();
        assert_eq!(claimed.iter().map(|c| c.delivery.id).collect::<Vec<_>>(), [bystander]);
        assert_eq!(store.queue.next_due_after(ALWAYS).await.unwrap(), None);
        assert_eq!(store.queue.release_webhook(held, at(3)).await.unwrap(), 1);
        assert_eq!(store.queue.next_due_after(ALWAYS).await.unwrap(), Some(at(3)));
        let stored = store.history.get_delivery(&tenant("t"), ids[0].1).await.unwrap().delivery;
        assert_eq!((stored.reason, stored.next_attempt_at), (None, Some(at(3))));
        // A delivery with a time of its own keeps it.
        assert_eq!(store.queue.release_webhook(held, at(9)).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_deleted_webhook_cancels_what_is_open() {
    on_each_database(async |store| {
        let row = configuration::webhook_row("t", "crm");
        store.configuration.insert_webhook(row.clone()).await.unwrap();
        let mut ids = Vec::new();
        for state in STATES {
            ids.push((state, standing_in(&store, state, row.id).await));
        }
        let bystander = standing_in(&store, State::Pending, webhook()).await;
        store.configuration.delete_webhook(row.id, NOW).await.unwrap();
        for (state, id) in &ids {
            let stored = store.history.get_delivery(&tenant("t"), *id).await.unwrap().delivery;
            let expected = if *state == State::Pending { State::Cancelled } else { *state };
            assert_eq!(stored.state, expected);
            let open = matches!(state, State::Pending | State::InFlight);
            assert_eq!(stored.reason.as_deref() == Some("webhook_deleted"), open);
        }
        assert_eq!(state_of(&store, bystander).await, State::Pending);
        let in_flight = ids.iter().find(|(state, _)| *state == State::InFlight).unwrap().1;
        store.writer.record(record(in_flight, State::Pending)).await.unwrap();
        assert_eq!(state_of(&store, in_flight).await, State::Cancelled);
        assert!(matches!(
            store.configuration.delete_webhook(row.id, NOW).await,
            Err(StoreError::NotFound)
        ));
    })
    .await;
}

#[tokio::test]
async fn all_open_deliveries_of_a_webhook_can_be_cancelled() {
    on_each_database(async |store| {
        let webhook_id = webhook();
        let pending = standing_in(&store, State::Pending, webhook_id).await;
        let in_flight = standing_in(&store, State::InFlight, webhook_id).await;
        standing_in(&store, State::Failed, webhook_id).await;
        let cancelled =
            store.queue.cancel_webhook(webhook_id, reason::CANCELLED, NOW).await.unwrap();
        assert_eq!((cancelled.pending, cancelled.in_flight), (1, vec![in_flight]));
        assert_eq!(state_of(&store, pending).await, State::Cancelled);
        assert_eq!(state_of(&store, in_flight).await, State::InFlight);
    })
    .await;
}
