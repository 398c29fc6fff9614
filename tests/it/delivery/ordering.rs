//! Deliveries that wait: for a time, for those before them with the same key, or for nothing,
//! because one was enough.

use std::time::Duration;

use antar_harness::{Database, Receiver, Reply, TestServer, eventually, on_both_databases};
use serde_json::{Value, json};

fn webhook(url: &str, more: Value) -> Value {
    let mut webhook = json!({"name": "w", "url": url, "event_types": ["*"]});
    webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    webhook
}

fn event(id: &str, subject: &str) -> Value {
    json!({"type": "a.b", "id": id, "attributes": {"subject": subject}, "data": {"id": id, "of": subject}})
}

/// The ids of the events that came, in order.
fn came(receiver: &Receiver) -> Vec<String> {
    let ids = receiver.requests().into_iter();
    ids.map(|request| request.header("webhook-id").unwrap().to_owned()).collect()
}

async fn delivered(server: &TestServer, count: usize) {
    eventually("all are delivered", async || {
        (server.api.deliveries("state=delivered").await.len() == count).then_some(())
    })
    .await;
}

on_both_databases! {
    async fn a_failed_delivery_holds_back_its_key_alone_also_over_a_restart(database: Database) {
        let server = database.server().manual_clock().start().await;
        let receiver = Receiver::start().await;
        receiver.reply_with(|request, _| {
            Reply::status(if request.header("webhook-id") == Some("a1") { 500 } else { 200 })
        });
        let settings = json!({"ordering": "per_key", "retry": {"schedule_s": [60], "attempts_max": 4, "jitter": 0}});
        let webhook = server.api.create_webhook(&webhook(&receiver.url("/w"), settings)).await;
        assert_eq!(webhook.json["ordering"], "per_key");
        server.api.send(&event("a1", "ann")).await;
        server.api.delivery_that("waits", "event_id=a1", |d| d.attempts == 1 && d.state == "pending").await;
        let more = [event("a2", "ann"), event("b1", "bob"), event("a3", "ann"), event("b2", "bob")];
        server.api.post("events", &json!(more)).await.expect(202);
        // Without a subject nothing is ordered.
        server.api.send(&json!({"type": "a.b", "id": "free", "data": {}})).await;
        delivered(&server, 3).await;
        let waiting = server.api.delivery_in("pending", "event_id=a2").await;
        assert_eq!(waiting.attempts, 0);
        let explained = server.api.explain("a3", &webhook).await;
        assert!(explained["reason"].as_str().unwrap().contains("waits for the delivery of the event a1"), "{explained}");
        assert_eq!(explained["detail"]["order_key"], "ann");
        receiver.reply(Reply::ok());
        let server = server.restart().await;
        server.advance(Duration::from_secs(60));
        delivered(&server, 6).await;
        let came = came(&receiver);
        let of_ann: Vec<_> = came.iter().filter(|id| id.starts_with('a')).collect();
        assert_eq!(of_ann, ["a1", "a1", "a2", "a3"]);
        let of_bob: Vec<_> = came.iter().filter(|id| id.starts_with('b')).collect();
        assert_eq!(of_bob, ["b1", "b2"]);
    }

    async fn order_is_kept_for_every_key_while_receivers_fail_now_and_then(server: TestServer) {
        let receiver = Receiver::start().await;
        // Every third request fails, whatever it is.
        receiver.reply_with(|_, nth| Reply::status(if nth % 3 == 0 { 500 } else { 200 }));
        let settings = json!({
            "ordering": {"key": "{{data.of}}", "gives_way_attempts": 100},
            "retry": {"schedule_s": [0], "attempts_max": 100},
        });
        server.api.create_webhook(&webhook(&receiver.url("/w"), settings)).await;
        const KEYS: [&str; 4] = ["k0", "k1", "k2", "k3"];
        for n in 10..25 {
            let events: Vec<_> = KEYS.iter().map(|key| event(&format!("{key}-{n}"), key)).collect();
            server.api.post("events", &json!(events)).await.expect(202);
        }
        delivered(&server, 60).await;
        let came = came(&receiver);
        for key in KEYS {
            let mut of_key: Vec<_> = came.iter().filter(|id| id.starts_with(key)).collect();
            assert!(of_key.is_sorted(), "{key}: {of_key:?}");
            of_key.dedup();
            assert_eq!(of_key.len(), 15);
        }
    }

    async fn a_delivery_that_fails_often_gives_way(database: Database) {
        let server = database.server().manual_clock().start().await;
        let receiver = Receiver::start().await;
        receiver.reply_with(|request, _| {
            Reply::status(if request.header("webhook-id") == Some("a1") { 500 } else { 200 })
        });
        let settings = json!({
            "ordering": {"gives_way_attempts": 2},
            "retry": {"schedule_s": [10], "attempts_max": 9, "jitter": 0},
        });
        server.api.create_webhook(&webhook(&receiver.url("/w"), settings)).await;
        server.api.send(&event("a1", "ann")).await;
        server.api.delivery_that("waits", "event_id=a1", |d| d.attempts == 1 && d.state == "pending").await;
        server.api.send(&event("a2", "ann")).await;
        server.api.delivery_in("pending", "event_id=a2").await;
        assert_eq!(came(&receiver), ["a1"]);
        server.advance(Duration::from_secs(10));
        server.api.delivery_in("delivered", "event_id=a2").await;
        assert_eq!(came(&receiver), ["a1", "a1", "a2"]);
        server.api.delivery_in("pending", "event_id=a1").await;
    }

    async fn the_second_of_a_key_within_the_window_is_dropped(database: Database) {
        let server = database.server().manual_clock().start().await;
        let receiver = Receiver::start().await;
        let settings = json!({"dedupe": {"key": "{{data.of}}", "window_s": 600}});
        let webhook = server.api.create_webhook(&webhook(&receiver.url("/w"), settings)).await;
        server.api.post("events", &json!([event("e1", "ann"), event("e2", "ann"), event("e3", "bob")])).await.expect(202);
        let dropped = server.api.delivery_in("dropped", "event_id=e2").await;
        assert_eq!(dropped.reason.as_deref(), Some("a duplicate: the event e1 with the same key came within 600 s"));
        assert_eq!(dropped.attempts, 0);
        let explained = server.api.explain("e2", &webhook).await;
        assert_eq!((&explained["outcome"], &explained["stage"]), (&json!("dropped"), &json!("route")));
        assert!(explained["reason"].as_str().unwrap().contains("the event e1 with the same key"), "{explained}");
        delivered(&server, 2).await;
        server.advance(Duration::from_secs(599));
        server.api.send(&event("e4", "ann")).await;
        server.api.delivery_in("dropped", "event_id=e4").await;
        server.advance(Duration::from_secs(2));
        server.api.send(&event("e5", "ann")).await;
        delivered(&server, 3).await;
        // Whoever wants it all the same gets it.
        server.api.post(&format!("deliveries/{}/retry", dropped.id), &json!({})).await.expect(202);
        delivered(&server, 4).await;
        let replay = json!({"event_ids": ["e4"]});
        server.api.post(&format!("webhooks/{}/replay", webhook.id), &replay).await.expect(202);
        delivered(&server, 5).await;
        receiver.wait(5).await;
    }

    async fn a_delay_holds_the_first_attempt(database: Database) {
        let server = database.server().manual_clock().start().await;
        let receiver = Receiver::start().await;
        server.api.create_webhook(&webhook(&receiver.url("/w"), json!({"delay_s": 90}))).await;
        server.api.send(&event("e1", "ann")).await;
        let waiting = server.api.delivery_in("pending", "event_id=e1").await;
        let due = antar::model::Millis::parse(&waiting.next_attempt_at.unwrap()).unwrap();
        assert_eq!(due.0 - server.clock().now().0, 90_000);
        server.advance(Duration::from_secs(89));
        server.api.delivery_in("pending", "event_id=e1").await;
        assert_eq!(receiver.requests().len(), 0);
        server.advance(Duration::from_secs(1));
        server.api.delivery_in("delivered", "event_id=e1").await;
        receiver.wait(1).await;
    }

    async fn what_can_not_be_kept_is_refused_at_save(server: TestServer) {
        let bad = [
            (json!({"ordering": "always"}), "/ordering"),
            (json!({"ordering": {"gives_way_attempts": 0}}), "/ordering/gives_way_attempts"),
            (json!({"ordering": {"key": "{{#if}}"}}), "/ordering/key"),
            (json!({"ordering": {"key": "fixed"}}), "/ordering/key"),
            (json!({"ordering": {"key": "{{antar.attempt}}"}}), "/ordering/key"),
            (json!({"dedupe": {"key": "{{data.id}}", "window_s": 0}}), "/dedupe/window_s"),
            (json!({"dedupe": {"key": "{{data.id}}"}}), "/dedupe"),
            (json!({"delay_s": 99_999_999}), "/delay_s"),
        ];
        for (settings, pointer) in bad {
            let answer = server.api.post("webhooks", &webhook("https://a.example/", settings.clone())).await;
            let problem = answer.expect(422).json();
            let found = problem["errors"][0]["pointer"].as_str().unwrap();
            assert!(found.starts_with(pointer), "{settings}: {problem}");
        }
    }
}
