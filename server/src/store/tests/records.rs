//! Records of attempts: which owner's record counts, and what is stored of others.

use super::*;

#[tokio::test]
async fn an_attempt_and_the_new_state_are_one_write() {
    on_each_database(async |store| {
        let id = standing_in(&store, State::InFlight, webhook()).await;
        let next_attempt_at = Some(at(5_000));
        let failed = Record {
            frozen: Some(frozen_request(r#"{"a":1}"#)),
            next_attempt_at,
            reason: Some("status 500".to_owned()),
            ..record(id, State::Pending)
        };
        let recorded = store.writer.record(failed).await.unwrap();
        assert_eq!(recorded, Recorded { state: Some(State::Pending), ours: true });
        let stored = store.history.get_delivery(&tenant("t"), id).await.unwrap();
        assert_eq!(stored.frozen, Some(frozen(r#"{"a":1}"#)));
        assert_eq!(stored.delivery.attempts, 1);
        assert_eq!(stored.delivery.next_attempt_at, next_attempt_at);
        assert_eq!(stored.delivery.reason.as_deref(), Some("status 500"));
        let attempts = attempts_of(&store, id).await;
        let mut expected = attempt(1, 500);
        expected.request.as_mut().unwrap().body = Some(r#"{"a":1}"#.to_owned());
        assert_eq!(attempts, [expected]);
    })
    .await;
}

/// A frozen request as an attempt to send an event of these tests stores it.
fn frozen_request(body: &str) -> FrozenRequest {
    FrozenRequest::new(frozen(body), &event("any").event)
}

/// The request that the next attempt sends.
async fn request_of(claimed: &Claimed) -> Frozen {
    claimed.frozen.as_ref().unwrap().of_event(&claimed.event).await.unwrap()
}

/// A body of which no part is the data as posted, and the response to it.
#[tokio::test]
async fn long_bodies_are_compressed_and_read_again() {
    let list: Vec<String> =
        (0..30_000).map(|n| format!(r#"{{"n":{n},"é":"{}"}}"#, n * 7)).collect();
    let data = format!(r#"{{"list":[{}]}}"#, list.join(","));
    let request = frozen(&format!("[{}]", list[1..].join(",")));
    on_each_database(async |store| {
        let new = event_with("posted", &data);
        let frozen_request = FrozenRequest::new(request.clone(), &new.event);
        let delivery = delivery(webhook(), State::InFlight);
        let id = delivery.id;
        store.writer.accept(vec![new.to(delivery)]).await.unwrap();
        let mut failed = attempt(1, 500);
        // PostgreSQL takes no U+0000 in a text.
        let answered = format!("\0{}", "no ".repeat(5_000));
        failed.response.as_mut().unwrap().body.clone_from(&answered);
        let failed = Record {
            frozen: Some(frozen_request),
            next_attempt_at: Some(NOW),
            attempt: Some(failed),
            ..record(id, State::Pending)
        };
        store.writer.record(failed).await.unwrap();
        let claimed =
            store.queue.claim_due(NOW, &me(), 10, &mut ClaimLimits::default()).await.unwrap();
        assert_eq!(request_of(&claimed[0]).await, request);
        let stored = store.history.get_delivery(&tenant("t"), id).await.unwrap();
        assert_eq!(stored.frozen, Some(request.clone()));
        let attempts = store.history.attempts(id, WHOLE, None).await.unwrap().data;
        let body = request.body.as_ref().map(|pieces| antar_template::masked(pieces));
        assert_eq!(attempts[0].request.as_ref().unwrap().body, body);
        let response = attempts[0].response.as_ref().unwrap();
        assert_eq!(response.body, answered.replace('\0', "\u{fffd}"));
        let types = OldTypes::AllBut(Vec::new());
        let old = Old { tenant: tenant("t"), types, before: at(1) };
        store.writer.record(Record { attempt: None, ..record(id, State::Failed) }).await.unwrap();
        assert_eq!(store.history.empty_old(&old, Millis(0), 10).await.unwrap().changed, 1);
        let attempts = store.history.attempts(id, WHOLE, None).await.unwrap().data;
        assert_eq!(attempts[0].request.as_ref().unwrap().body, None);
        assert_eq!(attempts[0].response.as_ref().unwrap().body, "");
    })
    .await;
}

#[tokio::test]
async fn the_data_in_a_body_is_kept_once_and_goes_with_its_event() {
    const DATA: &str = r#"{"conversation":{"id":"c-1","labels":["vip","new"]},"n":1.50}"#;
    on_each_database(async |store| {
        let new = event_with("posted", DATA);
        let request = frozen(&format!(r#"{{"type":"x","data":{DATA}}}"#));
        let frozen_request = FrozenRequest::new(request.clone(), &new.event);
        assert!(!serde_json::to_string(&frozen_request).unwrap().contains("vip"));
        let delivery = delivery(webhook(), State::InFlight);
        let id = delivery.id;
        store.writer.accept(vec![new.to(delivery)]).await.unwrap();
        let failed = Record {
            frozen: Some(frozen_request),
            next_attempt_at: Some(NOW),
            ..record(id, State::Pending)
        };
        store.writer.record(failed).await.unwrap();
        let claimed =
            store.queue.claim_due(NOW, &me(), 10, &mut ClaimLimits::default()).await.unwrap();
        assert_eq!(request_of(&claimed[0]).await, request);
        let again = Record { attempt: Some(attempt(2, 200)), ..record(id, State::Delivered) };
        store.writer.record(again).await.unwrap();
        let stored = store.history.get_delivery(&tenant("t"), id).await.unwrap();
        assert_eq!(stored.frozen, Some(request.clone()));
        let body = request.body.map(|pieces| antar_template::masked(&pieces));
        for attempt in attempts_of(&store, id).await {
            assert_eq!(attempt.request.unwrap().body, body);
        }
        let types = OldTypes::AllBut(Vec::new());
        let old = Old { tenant: tenant("t"), types, before: at(1) };
        assert_eq!(store.history.empty_old(&old, Millis(0), 10).await.unwrap().changed, 1);
        assert_eq!(store.history.get_delivery(&tenant("t"), id).await.unwrap().frozen, None);
        for attempt in attempts_of(&store, id).await {
            assert_eq!(attempt.request.unwrap().body, None);
        }
    })
    .await;
}

#[tokio::test]
async fn the_first_frozen_request_stays() {
    on_each_database(async |store| {
        let id = standing_in(&store, State::InFlight, webhook()).await;
        let first = Record {
            frozen: Some(frozen_request("first")),
            next_attempt_at: Some(NOW),
            ..record(id, State::Pending)
        };
        store.writer.record(first).await.unwrap();
        let claimed =
            store.queue.claim_due(NOW, &me(), 10, &mut ClaimLimits::default()).await.unwrap();
        assert_eq!(request_of(&claimed[0]).await, frozen("first"));
        let second = Record {
            frozen: Some(frozen_request("second")),
            attempt: Some(attempt(2, 200)),
            ..record(id, State::Delivered)
        };
        store.writer.record(second).await.unwrap();
        let stored = store.history.get_delivery(&tenant("t"), id).await.unwrap();
        assert_eq!(stored.frozen, Some(frozen("first")));
        assert_eq!(stored.delivery.attempts, 2);
    })
    .await;
}

#[tokio::test]
async fn released_is_not_counted() {
    on_each_database(async |store| {
        let id = standing_in(&store, State::InFlight, webhook()).await;
        let released =
            Record { attempt: None, next_attempt_at: Some(NOW), ..record(id, State::Pending) };
        store.writer.record(released).await.unwrap();
        let stored = store.history.get_delivery(&tenant("t"), id).await.unwrap();
        assert_eq!((stored.delivery.state, stored.delivery.attempts), (State::Pending, 0));
        assert!(attempts_of(&store, id).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_former_owner_adds_an_attempt_and_only_delivered_wins() {
    on_each_database(async |store| {
        let id = standing_in(&store, State::InFlight, webhook()).await;
        let successor = owner("me", 2);
        assert_eq!(store.queue.take_over(&successor, NOW).await.unwrap(), 1);
        store.queue.claim_due(NOW, &successor, 10, &mut ClaimLimits::default()).await.unwrap();
        // The former owner's failure changes only the count.
        let recorded = store.writer.record(record(id, State::Failed)).await.unwrap();
        assert_eq!(recorded, Recorded { state: Some(State::InFlight), ours: false });
        // The new owner has no knowledge of it and uses the same number.
        let by_successor = Record {
            owner: successor.clone(),
            next_attempt_at: Some(at(1)),
            ..record(id, State::Pending)
        };
        let recorded = store.writer.record(by_successor).await.unwrap();
        assert_eq!(recorded, Recorded { state: Some(State::Pending), ours: true });
        let numbers: Vec<u32> = attempts_of(&store, id).await.iter().map(|a| a.number).collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(
            store.history.get_delivery(&tenant("t"), id).await.unwrap().delivery.attempts,
            2
        );
        // A late `Delivered` counts, from any owner.
        let recorded = store.writer.record(record(id, State::Delivered)).await.unwrap();
        assert_eq!(recorded, Recorded { state: Some(State::Delivered), ours: false });
        let stored = store.history.get_delivery(&tenant("t"), id).await.unwrap().delivery;
        assert_eq!((stored.state, stored.next_attempt_at), (State::Delivered, None));
        // And it is final.
        let late = Record { owner: successor, ..record(id, State::Failed) };
        assert_eq!(store.writer.record(late).await.unwrap().state, Some(State::Delivered));
    })
    .await;
}

#[tokio::test]
async fn what_others_wait_behind_is_for_its_owner_to_end() {
    on_each_database(async |store| {
        let order = Some(OrderKey { key: "k".to_owned(), gives_way_attempts: 10 });
        let keys = Some(Box::new(Keys { order, dedupe: None }));
        let new = NewDelivery { keys, ..delivery(webhook(), State::Pending) };
        let id = new.id;
        store.writer.accept(vec![event("e").to(new)]).await.unwrap();
        assert_eq!(
            store.queue.claim_due(NOW, &me(), 10, &mut ClaimLimits::default()).await.unwrap().len(),
            1
        );
        let successor = owner("me", 2);
        assert_eq!(store.queue.take_over(&successor, NOW).await.unwrap(), 1);
        store.queue.claim_due(NOW, &successor, 10, &mut ClaimLimits::default()).await.unwrap();
        // The successor has it in memory: deliveries behind it must not overtake it.
        let recorded = store.writer.record(record(id, State::Delivered)).await.unwrap();
        assert_eq!(recorded, Recorded { state: Some(State::InFlight), ours: false });
        let by_successor = Record { owner: successor, ..record(id, State::Delivered) };
        let recorded = store.writer.record(by_successor).await.unwrap();
        assert_eq!(recorded, Recorded { state: Some(State::Delivered), ours: true });
        assert_eq!(attempts_of(&store, id).await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn cancel_during_an_attempt_takes_effect_when_it_ends() {
    on_each_database(async |store| {
        for (end, expected) in [
            (State::Pending, State::Cancelled),
            (State::Failed, State::Cancelled),
            (State::Delivered, State::Delivered),
        ] {
            let id = standing_in(&store, State::InFlight, webhook()).await;
            assert_eq!(store.queue.cancel_delivery(id, NOW).await.unwrap(), State::InFlight);
            let ended = Record { next_attempt_at: Some(at(1)), ..record(id, end) };
            let recorded = store.writer.record(ended).await.unwrap();
            assert_eq!(recorded, Recorded { state: Some(expected), ours: true });
            let stored = store.history.get_delivery(&tenant("t"), id).await.unwrap().delivery;
            assert_eq!((stored.state, stored.next_attempt_at), (expected, None));
            assert_eq!(stored.reason.is_some(), expected == State::Cancelled);
            assert_eq!(attempts_of(&store, id).await.len(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_record_of_an_erased_delivery_leaves_nothing() {
    on_each_database(async |store| {
        let id = standing_in(&store, State::InFlight, webhook()).await;
        store.configuration.delete_tenant(&tenant("t")).await.unwrap();
        let recorded = store.writer.record(record(id, State::Delivered)).await.unwrap();
        assert_eq!(recorded, Recorded { state: None, ours: false });
        assert!(attempts_of(&store, id).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_record_cannot_leave_a_delivery_in_flight() {
    on_each_database(async |store| {
        let id = standing_in(&store, State::InFlight, webhook()).await;
        let refused = store.writer.record(record(id, State::InFlight)).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))));
    })
    .await;
}

#[tokio::test]
async fn a_reason_may_hold_any_character() {
    on_each_database(async |store| {
        let id = standing_in(&store, State::InFlight, webhook()).await;
        let mut tried = attempt(1, 500);
        tried.error = Some("a\0b".to_owned());
        tried.response.as_mut().unwrap().body = "\0".to_owned();
        let dropped = Record {
            attempt: Some(tried),
            reason: Some("no \0 \u{1f600}".to_owned()),
            ..record(id, State::Dropped)
        };
        store.writer.record(dropped).await.unwrap();
        let stored = store.history.get_delivery(&tenant("t"), id).await.unwrap().delivery;
        assert_eq!(stored.reason.as_deref(), Some("no \u{fffd} \u{1f600}"));
        assert_eq!(attempts_of(&store, id).await[0].error.as_deref(), Some("a\u{fffd}b"));
    })
    .await;
}
