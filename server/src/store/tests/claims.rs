//! Claims: which node works on which delivery, in which order.

use super::*;
use crate::store::queue::due;

async fn pending(store: &Store, id: &str, webhook_id: WebhookId, due_at: Millis) -> DeliveryId {
    let new = NewDelivery { next_attempt_at: Some(due_at), ..delivery(webhook_id, State::Pending) };
    let delivery_id = new.id;
    store.writer.accept(vec![event(id).to(new)]).await.unwrap();
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
        assert_eq!(store.queue.next_due_after(ALWAYS).await.unwrap(), Some(at(10)));
        assert!(
            store
                .queue
                .claim_due(at(9), &me(), 10, &mut ClaimLimits::default())
                .await
                .unwrap()
                .is_empty()
        );
        let claimed =
            store.queue.claim_due(at(20), &me(), 10, &mut ClaimLimits::default()).await.unwrap();
        assert_eq!(ids(&claimed), [soon, late]);
        assert_eq!(claimed[0].delivery.state, State::InFlight);
        assert_eq!(claimed[0].event.key.id.as_str(), "soon");
        assert_eq!(claimed[0].event.data().raw(), r#"{"n":1.50,"who":"\u00e4"}"#);
        assert!(
            store
                .queue
                .claim_due(at(20), &owner("other", 1), 10, &mut ClaimLimits::default())
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(store.queue.next_due_after(ALWAYS).await.unwrap(), Some(at(1_000)));
        assert_eq!(
            ids(&store
                .queue
                .claim_due(at(1_000), &me(), 10, &mut ClaimLimits::default())
                .await
                .unwrap()),
            [future]
        );
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
        let mut without_busy = ClaimLimits { webhooks: vec![busy], ..ClaimLimits::default() };
        let claimed = store.queue.claim_due(at(10), &me(), 2, &mut without_busy).await.unwrap();
        assert_eq!(claimed.len(), 2);
        assert_eq!(claimed[1].delivery.id, single);
        let rest =
            store.queue.claim_due(at(10), &me(), 10, &mut ClaimLimits::default()).await.unwrap();
        assert_eq!(rest.len(), 5);
        assert_eq!(rest[0].delivery.id, left_out);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_go_is_gone_through_once() {
    const MANY: i64 = 5_000;
    on_each_database(async |store| {
        let (stuck, live) = (webhook(), webhook());
        for first in (0..MANY).step_by(500) {
            let many = (first..first + 500).map(|n| {
                let new = delivery(stuck, State::Pending);
                event(&n.to_string()).to(NewDelivery { next_attempt_at: Some(at(n)), ..new })
            });
            store.writer.accept(many.collect()).await.unwrap();
        }
        let without_stuck = ClaimLimits { webhooks: vec![stuck], ..ClaimLimits::default() };
        let claim = async |now, limits: &ClaimLimits| {
            ids(&store.queue.claim_due(now, &me(), 10, &mut limits.clone()).await.unwrap())
        };
        let later = |ms| at(MANY + 40_000 + ms);
        let first = pending(&store, "first", live, later(-5_000)).await;
        assert_eq!(claim(later(0), &without_stuck).await, [first]);
        assert_eq!(claim(later(0), &without_stuck).await, []);
        let second = pending(&store, "second", live, later(0)).await;
        let front = store.queue.progress.front(later(1));
        let mut lease = store.db.read().await.unwrap();
        let scanned = due::page(lease.conn(), front, later(1)).await.unwrap();
        lease.give_back();
        assert_eq!(scanned.len(), 1, "none of the others is scanned again");
        assert_eq!(claim(later(1), &without_stuck).await, [second]);

        // As if committed by long transactions: a second scan finds recently due deliveries at once, and
        // the rest page by page.
        let late = pending(&store, "late", live, later(-20_000)).await;
        let very_late = pending(&store, "very-late", live, at(1)).await;
        assert_eq!(claim(later(2), &without_stuck).await, []);
        let found = claim(later(1_002), &without_stuck).await;
        assert!(
            found.contains(&late) && found.contains(&very_late),
            "one webhook's are found together"
        );
        let very_late = pending(&store, "very-late-again", live, at(1)).await;
        let again_at = (2..6).map(|n| later(n * 1_001));
        let mut found = Vec::new();
        for now in again_at {
            found.extend(claim(now, &without_stuck).await);
        }
        assert_eq!(found, [very_late]);

        // Once the webhook may continue, its longest due deliveries go first, as many as it has room for.
        let mut three = ClaimLimits { at_most: [(stuck, 3)].into(), ..ClaimLimits::default() };
        let claimed = store.queue.claim_due(later(9_000), &me(), 10, &mut three).await.unwrap();
        let due: Vec<_> = claimed.iter().map(|c| c.event.key.id.as_str().to_owned()).collect();
        assert_eq!(due, ["0", "1", "2"]);
        let mut all = 3;
        while let claimed @ 1.. = claim(later(9_000), &ClaimLimits::default()).await.len() {
            all += claimed;
        }
        assert_eq!(all, usize::try_from(MANY).unwrap());
        assert_eq!(store.queue.next_due_after(ALWAYS).await.unwrap(), None);
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
                // A claim may return nothing while other nodes have locked the rest: repeat it as
                // long as something is due.
                while store.queue.next_due_after(ALWAYS).await.unwrap().is_some() {
                    taken.extend(ids(&store
                        .queue
                        .claim_due(NOW, &node, 7, &mut ClaimLimits::default())
                        .await
                        .unwrap()));
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
async fn a_claim_takes_as_much_data_as_there_is_room_for() {
    on_each_database(async |store| {
        let (large, small) = (webhook(), webhook());
        let data = format!("{{\"x\":\"{}\"}}", "é".repeat(5_000));
        for n in 0..6 {
            let new = delivery(large, State::Pending);
            let due = NewDelivery { next_attempt_at: Some(at(n)), ..new };
            store.writer.accept(vec![event_with(&format!("l{n}"), &data).to(due)]).await.unwrap();
            pending(&store, &format!("s{n}"), small, at(n)).await;
        }
        let claim = async |places, webhook_places| {
            let mut limits = ClaimLimits {
                places,
                webhook_places,
                place_bytes: 1_000,
                ..ClaimLimits::default()
            };
            let claimed = store.queue.claim_due(at(10), &me(), 100, &mut limits).await.unwrap();
            let of =
                |id| claimed.iter().filter(|claimed| claimed.delivery.webhook_id == id).count();
            ((of(large), of(small)), limits.filled().collect::<Vec<_>>())
        };
        // A large one takes eleven places, the last one more than are left.
        assert_eq!(claim(usize::MAX, 12).await, ((2, 6), vec![large]));
        assert_eq!(claim(20, usize::MAX).await.0, (2, 0));
        assert_eq!(claim(usize::MAX, usize::MAX).await, ((2, 0), vec![]));
    })
    .await;
}

#[tokio::test]
async fn a_claim_reads_only_the_events_of_its_deliveries() {
    on_each_database(async |store| {
        let webhook_id = webhook();
        for source in ["a", "b", "c"] {
            store.writer.accept(vec![event(&format!("{source}/one"))]).await.unwrap();
        }
        pending(&store, "b/two", webhook_id, NOW).await;
        let keys = [event("c/one").event.key.clone(), event("b/two").event.key.clone()];
        let mut lease = store.db.read().await.unwrap();
        let found = crate::store::history::events::load(lease.conn(), &keys).await.unwrap();
        lease.give_back();
        let mut found: Vec<_> = found.into_iter().map(|stored| stored.event.key.source).collect();
        found.sort();
        assert_eq!(found, ["b", "c"], "one is of another source");
    })
    .await;
}

#[tokio::test]
async fn without_its_event_a_delivery_fails() {
    on_each_database(async |store| {
        let id = pending(&store, "a", webhook(), NOW).await;
        store
            .db
            .write(|conn| Box::pin(async move { conn.execute_text("DELETE FROM events").await }))
            .await
            .unwrap();
        assert!(
            store
                .queue
                .claim_due(NOW, &me(), 10, &mut ClaimLimits::default())
                .await
                .unwrap()
                .is_empty()
        );
        let stored = store.history.get_delivery(&tenant("t"), id).await.unwrap().delivery;
        assert_eq!(stored.state, State::Failed);
        assert_eq!(stored.reason.as_deref(), Some("the event's data is no longer kept"));
    })
    .await;
}

#[tokio::test]
async fn each_start_is_a_new_epoch_and_ends_the_one_before() {
    on_each_database(async |store| {
        let first = store.queue.register_node("n", NOW, 15_000).await.unwrap();
        assert_eq!(first, owner("n", 1));
        assert!(store.queue.renew_lease(&first, at(5_000), 15_000).await.unwrap());
        let second = store.queue.register_node("n", at(6_000), 15_000).await.unwrap();
        assert_eq!(second, owner("n", 2));
        assert!(!store.queue.renew_lease(&first, at(7_000), 15_000).await.unwrap());
        assert!(store.queue.renew_lease(&second, at(7_000), 15_000).await.unwrap());
        assert_eq!(store.queue.register_node("m", NOW, 15_000).await.unwrap().epoch, 1);
    })
    .await;
}

#[tokio::test]
async fn what_the_dead_owned_is_due_at_once_and_the_living_keep_theirs() {
    on_each_database(async |store| {
        let me_before = store.queue.register_node("me", NOW, 15_000).await.unwrap();
        let other = store.queue.register_node("other", NOW, 15_000).await.unwrap();
        let mut of = Vec::new();
        for (id, owner) in [("mine", &me_before), ("wished", &me_before), ("others", &other)] {
            let new = delivery(webhook(), State::InFlight);
            of.push(new.id);
            let event = NewEvent { owner: owner.clone(), ..event(id).to(new) };
            store.writer.accept(vec![event]).await.unwrap();
        }
        store.queue.cancel_delivery(of[1], NOW).await.unwrap();
        let now = at(10_000);
        let me_now = store.queue.register_node("me", now, 15_000).await.unwrap();
        assert_eq!(store.queue.take_over(&me_now, now).await.unwrap(), 2);
        let stored = store.history.get_delivery(&tenant("t"), of[0]).await.unwrap().delivery;
        assert_eq!((stored.state, stored.attempts), (State::Pending, 0));
        assert_eq!(stored.next_attempt_at, Some(now));
        assert_eq!(state_of(&store, of[1]).await, State::Cancelled);
        assert_eq!(state_of(&store, of[2]).await, State::InFlight);
        // The other node's lease has expired.
        let later = at(15_001);
        assert_eq!(store.queue.take_over(&me_now, later).await.unwrap(), 1);
        assert_eq!(state_of(&store, of[2]).await, State::Pending);
        assert_eq!(store.queue.take_over(&me_now, later).await.unwrap(), 0);
    })
    .await;
}

/// A delivery that is due and has keys.
fn keyed(webhook_id: WebhookId, order: Option<&str>, dedupe: Option<&str>) -> NewDelivery {
    let order = order.map(|key| OrderKey { key: key.to_owned(), gives_way_attempts: 2 });
    let dedupe = dedupe.map(|key| (key.to_owned(), at(-10_000)));
    let keys = Some(Box::new(Keys { order, dedupe }));
    NewDelivery { keys, ..delivery(webhook_id, State::Pending) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_key_one_is_taken_at_a_time_and_in_order_by_however_many_nodes() {
    on_each_database(async |store| {
        const KEYS: usize = 5;
        let webhook_id = webhook();
        let mut order = std::collections::HashMap::new();
        for n in 0..60 {
            let key = format!("k{}", n % KEYS);
            let new = keyed(webhook_id, Some(&key), None);
            order.insert(new.id, n);
            store.writer.accept(vec![event(&format!("e{n}")).to(new)]).await.unwrap();
        }
        let taken = parking_lot::Mutex::new(Vec::new());
        let nodes = (0..3).map(|n| {
            let node = owner(&format!("node-{n}"), 1);
            let (store, order, taken) = (&store, &order, &taken);
            async move {
                while taken.lock().len() < order.len() {
                    let claimed = store
                        .queue
                        .claim_due(NOW, &node, 4, &mut ClaimLimits::default())
                        .await
                        .unwrap();
                    for claimed in claimed {
                        let id = claimed.delivery.id;
                        taken.lock().push(order[&id]);
                        let end = Record { owner: node.clone(), ..record(id, State::Delivered) };
                        store.writer.record(end).await.unwrap();
                    }
                }
            }
        });
        futures_util::future::join_all(nodes).await;
        for key in 0..KEYS {
            let of_key =
                taken.lock().iter().copied().filter(|n| n % KEYS == key).collect::<Vec<_>>();
            assert!(of_key.is_sorted() && of_key.len() == 12, "{of_key:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_gives_way_after_its_attempts_and_says_who_holds_it_back() {
    on_each_database(async |store| {
        let webhook_id = webhook();
        let (first, second) =
            (keyed(webhook_id, Some("k"), None), keyed(webhook_id, Some("k"), None));
        let (one, two) = (first.id, second.id);
        store.writer.accept(vec![event("e1").to(first), event("e2").to(second)]).await.unwrap();
        let claim = async || {
            ids(&store.queue.claim_due(NOW, &me(), 10, &mut ClaimLimits::default()).await.unwrap())
        };
        for _ in 0..2 {
            assert_eq!(claim().await, [one]);
            let before = store.queue.held_back_by(two).await.unwrap().unwrap();
            assert_eq!((before.delivery_id, before.event_id.as_str()), (one, "e1"));
            let again = Record { next_attempt_at: Some(NOW), ..record(one, State::Pending) };
            store.writer.record(again).await.unwrap();
        }
        assert_eq!(store.queue.held_back_by(two).await.unwrap(), None);
        assert_eq!(claim().await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_waits_behind_others_is_put_off_until_it_is_woken() {
    on_each_database(async |store| {
        let webhook_id = webhook();
        let mut news = Vec::new();
        for n in 0..20 {
            let new = keyed(webhook_id, Some("k"), None);
            news.push(new.id);
            store.writer.accept(vec![event(&format!("e{n}")).to(new)]).await.unwrap();
        }
        // Behind all of them, and without a key.
        let free =
            NewDelivery { next_attempt_at: Some(at(1)), ..delivery(webhook_id, State::Pending) };
        news.push(free.id);
        store.writer.accept(vec![event("free").to(free)]).await.unwrap();
        let claim = async |now| {
            ids(&store.queue.claim_due(now, &me(), 2, &mut ClaimLimits::default()).await.unwrap())
        };
        assert_eq!(claim(at(1)).await, [news[0], news[20]]);
        let second = store.history.get_delivery(&tenant("t"), news[1]).await.unwrap().delivery;
        assert_eq!(second.reason.as_deref(), Some("waits_in_order"));
        assert!(second.next_attempt_at > Some(at(1)));
        assert!(
            store.queue.next_due_after(ALWAYS).await.unwrap() > Some(at(1)),
            "nothing is left to look at"
        );
        store.writer.record(record(news[0], State::Delivered)).await.unwrap();
        assert_eq!(claim(at(2)).await, [news[1]]);
        // The next one is not woken, but a later claim finds it anyway.
        let unseen = Record { ordered: false, ..record(news[1], State::Delivered) };
        store.writer.record(unseen).await.unwrap();
        assert_eq!(claim(at(3)).await, []);
        assert_eq!(claim(at(60_000)).await, [news[2]]);
    })
    .await;
}

#[tokio::test]
async fn a_duplicate_is_dropped_when_its_turn_comes() {
    on_each_database(async |store| {
        let webhook_id = webhook();
        let news = [("e1", "k"), ("e2", "k"), ("e3", "other")];
        let mut deliveries = Vec::new();
        for (id, key) in news {
            let new = keyed(webhook_id, None, Some(key));
            deliveries.push(new.id);
            store.writer.accept(vec![event(id).to(new)]).await.unwrap();
        }
        let claimed =
            store.queue.claim_due(NOW, &me(), 10, &mut ClaimLimits::default()).await.unwrap();
        let mut sent = [deliveries[0], deliveries[2]];
        sent.sort();
        assert_eq!(ids(&claimed), sent, "due at the same time");
        let dropped =
            store.history.get_delivery(&tenant("t"), deliveries[1]).await.unwrap().delivery;
        assert_eq!((dropped.state, dropped.attempts), (State::Dropped, 0));
        assert!(dropped.reason.unwrap().contains("the event e1"));
        // A failed delivery makes no other one a duplicate.
        store.writer.record(record(deliveries[0], State::Failed)).await.unwrap();
        let late = keyed(webhook_id, None, Some("k"));
        let late_id = late.id;
        store.writer.accept(vec![event("e4").to(late)]).await.unwrap();
        let claimed =
            store.queue.claim_due(NOW, &me(), 10, &mut ClaimLimits::default()).await.unwrap();
        assert_eq!(ids(&claimed), [late_id]);
    })
    .await;
}
