//! A clock that is set: what is due goes out, nothing twice, and waits are as long as they were meant.

use std::time::Duration;

use antar::model::Millis;
use antar_harness::{
    Database, Delivery, Receiver, Reply, TestServer, eventually, on_both_databases,
};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);

async fn start(database: Database) -> TestServer {
    database.server().manual_clock().start().await
}

fn webhook(receiver: &Receiver, more: Value) -> Value {
    let retry = json!({"schedule_s": [60], "attempts_max": 9, "jitter": 0});
    let mut webhook =
        json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"], "retry": retry});
    webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    webhook
}

fn event(n: usize) -> Value {
    json!({"type": "a.b", "id": format!("e-{n}"), "attributes": {"subject": "s"}, "data": {"n": n}})
}

/// A webhook whose first attempts fail, and an event that waits after the first of them.
async fn waiting(database: Database, fail: usize, more: Value) -> (TestServer, Receiver) {
    let (server, receiver) = (start(database).await, Receiver::start().await);
    receiver.reply_with(move |_, nth| Reply::status(if nth <= fail { 500 } else { 200 }));
    server.api.create_webhook(&webhook(&receiver, more)).await;
    server.api.send(&event(1)).await;
    attempted(&server, 1).await;
    (server, receiver)
}

/// Waits until the first event has had so many attempts and waits for the next.
async fn attempted(server: &TestServer, attempts: u64) {
    let waits = |d: &Delivery| d.attempts == attempts && d.state == "pending";
    server.api.delivery_that("waits", "event_id=e-1", waits).await;
}

/// Waits until the next attempt of what waits is due within a minute.
async fn waits_a_minute(server: &TestServer) {
    eventually("it waits for a minute, as it was to", async || {
        let rows = server.api.deliveries("state=pending").await;
        let due = rows.iter().map(|row| {
            let at = row.next_attempt_at.as_deref().expect("it is not held");
            Millis::parse(at).unwrap().0 - server.clock().now().0
        });
        due.max().filter(|wait_ms| *wait_ms <= 60_000)
    })
    .await;
}

on_both_databases! {
    async fn a_clock_that_jumps_ahead_sends_nothing_twice(database: Database) {
        let (server, receiver) = waiting(database, 1, json!({})).await;
        server.advance(DAY);
        let delivery = server.api.delivery_in("delivered", "event_id=e-1").await;
        assert_eq!(delivery.attempts, 2);
        server.api.send(&event(2)).await;
        server.api.delivery_in("delivered", "event_id=e-2").await;
        assert_eq!(receiver.requests().len(), 3);
    }

    async fn a_clock_that_is_set_back_makes_nothing_wait_longer(database: Database) {
        let (server, receiver) = waiting(database, 1, json!({})).await;
        server.clock().set_back(DAY);
        // Meanwhile too.
        server.api.send(&event(2)).await;
        server.api.delivery_in("delivered", "event_id=e-2").await;
        waits_a_minute(&server).await;
        server.advance(MINUTE);
        let delivery = server.api.delivery_in("delivered", "event_id=e-1").await;
        assert_eq!(delivery.attempts, 2);
        assert_eq!(receiver.requests().len(), 3, "nothing was sent twice");
    }

    async fn a_clock_that_was_ahead_for_a_while_leaves_nothing_behind(database: Database) {
        let (server, receiver) = waiting(database, 2, json!({})).await;
        server.advance(DAY);
        attempted(&server, 2).await;
        server.clock().set_back(DAY);
        waits_a_minute(&server).await;
        server.advance(MINUTE);
        let delivery = server.api.delivery_in("delivered", "event_id=e-1").await;
        assert_eq!(delivery.attempts, 3);
        assert_eq!(receiver.requests().len(), 3);
    }

    async fn order_is_kept_when_the_clock_is_set_back(database: Database) {
        let ordered = json!({"ordering": "per_key"});
        let (server, receiver) = waiting(database, 1, ordered).await;
        server.api.send(&event(2)).await;
        server.clock().set_back(DAY);
        server.api.send(&event(3)).await;
        waits_a_minute(&server).await;
        server.advance(MINUTE);
        server.api.delivery_in("delivered", "event_id=e-3").await;
        let numbers: Vec<_> = receiver.requests().iter().map(|r| r.json()["data"]["n"].clone()).collect();
        assert_eq!(numbers, [1, 1, 2, 3]);
    }

    async fn a_rate_and_a_rest_go_on_when_the_clock_is_set_back(database: Database) {
        let server = start(database).await;
        let receiver = Receiver::start().await;
        receiver.reply_with(|request, nth| match request.path() {
            "/busy" if nth == 1 => Reply::status(429).header("retry-after", "60"),
            _ => Reply::ok(),
        });
        let paced = json!({"url": receiver.url("/paced"), "limits": {"rate_per_s": 0.1}});
        let busy = json!({"name": "b", "url": receiver.url("/busy")});
        server.api.create_webhook(&webhook(&receiver, paced)).await;
        server.api.create_webhook(&webhook(&receiver, busy)).await;
        server.api.send(&event(1)).await;
        receiver.wait_at("/paced", 1).await;
        server.api.delivery_that("rests", "state=pending", |d| d.attempts == 1).await;
        server.api.send(&event(2)).await;
        server.clock().set_back(DAY);
        waits_a_minute(&server).await;
        server.advance(MINUTE);
        receiver.wait_at("/paced", 2).await;
        receiver.wait_at("/busy", 3).await;
        eventually("all are delivered", async || {
            (server.api.deliveries("state=delivered").await.len() == 4).then_some(())
        })
        .await;
    }
}
