//! Who works on what.

use super::*;

async fn pending(store: &Store, id: &str, webhook_id: WebhookId, due_at: Millis) -> DeliveryId {
    let new = NewDelivery { next_attempt_at: Some(due_at), ..delivery(webhook_id, State::Pending) };
    let delivery_id = new.id;
    store.accept(vec![event(id).to(new)]).await.unwrap();
    delivery_id
}

fn ids(claimed: &[Claimed]) -> Vec<DeliveryId> {
    claimed.iter().map(|c| c.delivery.id).collect()
}

#[tokio::test]
async fn what_is_due_is_taken_once_the_longest_due_first() {
    on_each_database(async |store| {
        let webhook_id = webhook();
        let late = pending(&store, "late", webhook_id, at(20)).await;
        let soon = pending(&store, "soon", webhook_id, at(10)).await;
        let future = pending(&store, "future", webhook_id, at(1_000)).await;
        assert_eq!(store.next_due_at().await.unwrap(), Some(at(10)));
        assert!(store.claim_due(at(9), &me(), 10, &Spared::default()).await.unwrap().is_empty());
        let claimed = store.claim_due(at(20), &me(), 10, &Spared::default()).await.unwrap();
        assert_eq!(ids(&claimed), [soon, late]);
        assert_eq!(claimed[0].delivery.state, State::InFlight);
        assert_eq!(claimed[0].event.key.id.as_str(), "soon");
        assert_eq!(claimed[0].event.data().raw(), r#"{"n":1.50,"who":"\u00e4"}"#);
        assert!(store.claim_due(at(20), &owner("other", 1), 10, &Spared::default()).await.unwrap().is_empty());
        assert_eq!(store.next_due_at().await.unwrap(), Some(at(1_000)));
        assert_eq!(ids(&store.claim_due(at(1_000), &me(), 10, &Spared::default()).await.unwrap()), [future]);
    })
    .await;
}

#[tokio::test]
async fn webhooks_take_turns_and_busy_ones_are_left_out() {
    on_each_database(async |store| {
        let (many, one, busy) = (webhook(), webhook(), webhook());
        for n in 0..5 {
            pending(&store, &format!("m{n}"), many, at(n)).await;
        }
        let single = pending(&store, "single", one, at(6)).await;
        let left_out = pending(&store, "busy", busy, at(0)).await;
        let without_busy = Spared { webhooks: vec![busy], ..Spared::default() };
        let claimed = store.claim_due(at(10), &me(), 2, &without_busy).await.unwrap();
        assert_eq!(claimed.len(), 2);
        assert_eq!(claimed[1].delivery.id, single);
        let rest = store.claim_due(at(10), &me(), 10, &Spared::default()).await.unwrap();
        assert_eq!(rest.len(), 5);
        assert_eq!(rest[0].delivery.id, left_out);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_claim_at_once_never_get_the_same() {
    on_each_database(async |store| {
        let mut all = Vec::new();
        for n in 0..60 {
            all.push(pending(&store, &n.to_string(), webhook(), NOW).await);
        }
        let nodes = (0..6).map(|node| {
            let store = store.clone();
            tokio::spawn(async move {
                let node = owner(&node.to_string(), 1);
                let mut taken = Vec::new();
                // A node may come away empty while others hold what is left: as long as something
                // is due it asks again.
                while store.next_due_at().await.unwrap().is_some() {
                    taken.extend(ids(&store.claim_due(NOW, &node, 7, &Spared::default()).await.unwrap()));
                }
                taken
            })
        });
        let mut taken = Vec::new();
        for node in futures_util::future::join_all(nodes).await {
            taken.extend(node.unwrap());
        }
        taken.sort();
        all.sort();
        assert_eq!(taken, all);
    })
    .await;
}

#[tokio::test]
async fn without_its_event_a_delivery_fails() {
    on_each_database(async |store| {
        let id = pending(&store, "a", webhook(), NOW).await;
        store
            .write(|conn| Box::pin(async move { conn.execute_text("DELETE FROM events").await }))
            .await
            .unwrap();
        assert!(store.claim_due(NOW, &me(), 10, &Spared::default()).await.unwrap().is_empty());
        let stored = store.get_delivery(&tenant("t"), id).await.unwrap().delivery;
        assert_eq!(stored.state, State::Failed);
        assert_eq!(stored.reason.as_deref(), Some("the event is no longer stored"));
    })
    .await;
}

#[tokio::test]
async fn each_start_is_a_new_epoch_and_ends_the_one_before() {
    on_each_database(async |store| {
        let first = store.register_node("n", NOW, 15_000).await.unwrap();
        assert_eq!(first, owner("n", 1));
        assert!(store.renew_lease(&first, at(5_000), 15_000).await.unwrap());
        let second = store.register_node("n", at(6_000), 15_000).await.unwrap();
        assert_eq!(second, owner("n", 2));
        assert!(!store.renew_lease(&first, at(7_000), 15_000).await.unwrap());
        assert!(store.renew_lease(&second, at(7_000), 15_000).await.unwrap());
        assert_eq!(store.register_node("m", NOW, 15_000).await.unwrap().epoch, 1);
    })
    .await;
}

#[tokio::test]
async fn what_the_dead_owned_is_due_at_once_and_the_living_keep_theirs() {
    on_each_database(async |store| {
        let me_before = store.register_node("me", NOW, 15_000).await.unwrap();
        let other = store.register_node("other", NOW, 15_000).await.unwrap();
        let mut of = Vec::new();
        for (id, owner) in [("mine", &me_before), ("wished", &me_before), ("others", &other)] {
            let new = delivery(webhook(), State::InFlight);
            of.push(new.id);
            let event = NewEvent { owner: owner.clone(), ..event(id).to(new) };
            store.accept(vec![event]).await.unwrap();
        }
        store.cancel_delivery(of[1], NOW).await.unwrap();
        let now = at(10_000);
        let me_now = store.register_node("me", now, 15_000).await.unwrap();
        assert_eq!(store.take_over(&me_now, now).await.unwrap(), 2);
        let stored = store.get_delivery(&tenant("t"), of[0]).await.unwrap().delivery;
        assert_eq!((stored.state, stored.attempts), (State::Pending, 0));
        assert_eq!(stored.next_attempt_at, Some(now));
        assert_eq!(state_of(&store, of[1]).await, State::Cancelled);
        assert_eq!(state_of(&store, of[2]).await, State::InFlight);
        // Its lease has run out.
        let later = at(15_001);
        assert_eq!(store.take_over(&me_now, later).await.unwrap(), 1);
        assert_eq!(state_of(&store, of[2]).await, State::Pending);
        assert_eq!(store.take_over(&me_now, later).await.unwrap(), 0);
    })
    .await;
}
