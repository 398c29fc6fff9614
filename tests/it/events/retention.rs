//! What is old is forgotten; what is on its way is not.

use std::time::Duration;

use antar_harness::{Database, Receiver, Reply, TestServer, eventually, on_both_databases};
use serde_json::json;

const DAY: Duration = Duration::from_secs(86_400);

async fn server(database: Database) -> TestServer {
    let server = database.server().manual_clock().ignore_unseen_deliveries().config(|config| {
        config.retention.events_s = 30 * 86_400;
        config.retention.payloads_s = 7 * 86_400;
        config.retention.batch_max = 2;
    });
    server.start().await
}

async fn delivered(server: &TestServer, event_type: &str, id: &str) {
    let event =
        json!({"type": event_type, "id": id, "attributes": {"subject": "jane"}, "data": {"n": id}});
    server.api.send(&event).await;
    server.api.delivery_in("delivered", &format!("event_id={id}")).await;
}

/// Waits until an event answers 404, while time goes on.
async fn forgotten(server: &TestServer, id: &str) {
    eventually(&format!("{id} is forgotten"), async || {
        server.advance(Duration::from_secs(60));
        (server.api.get(&format!("events/{id}")).await.status == 404).then_some(())
    })
    .await;
}

on_both_databases! {
    async fn old_events_go_with_their_deliveries_and_what_waits_stays(database: Database) {
        let server = server(database).await;
        let receiver = Receiver::start().await.ignore_rest();
        receiver.reply_with(|request, _| {
            Reply::status(if request.path() == "/fails" { 500 } else { 200 })
        });
        for (name, types) in [("works", "a.*"), ("fails", "b.*")] {
            let webhook = json!({
                "name": name, "url": receiver.url(&format!("/{name}")), "event_types": [types],
                "retry": {"schedule_s": [8_640_000], "attempts_max": 3},
            });
            server.api.create_webhook(&webhook).await;
        }
        for id in ["e1", "e2", "e3", "e4", "e5"] {
            delivered(&server, "a.b", id).await;
        }
        server.api.send(&json!({"type": "b.c", "id": "open", "data": {"n": 1}})).await;
        server.api.delivery_that("it waits for its second attempt", "event_id=open", |d| d.attempts == 1).await;

        server.advance(8 * DAY);
        eventually("the data of all that was delivered is gone", async || {
            for id in ["e1", "e2", "e3", "e4", "e5"] {
                let event = server.api.get(&format!("events/{id}")).await.json();
                if event["data_kept"] != json!(false) {
                    return None;
                }
            }
            Some(())
        })
        .await;
        let event = server.api.get("events/e1").await.json();
        assert_eq!((&event["data"], &event["attributes"]), (&json!({}), &json!({})));
        let delivery = server.api.delivery_in("delivered", "event_id=e1").await;
        let attempts = server.api.attempts(&delivery).await;
        assert_eq!((&attempts[0]["response"]["status"], &attempts[0]["response"]["body"]), (&json!(200), &json!("")));
        assert_eq!(server.api.get("events/open").await.json()["data"], json!({"n": 1}));
        let replay = json!({"event_ids": ["e1"]});
        let webhook = delivery.webhook_id.clone();
        let (status, _) = server.api.post(&format!("webhooks/{webhook}/replay"), &replay).await.problem();
        assert_eq!(status, 409);

        server.advance(23 * DAY);
        for id in ["e1", "e2", "e3", "e4", "e5"] {
            forgotten(&server, id).await;
        }
        assert!(server.api.deliveries("event_id=e1").await.is_empty());
        assert_eq!(server.api.get("events/open").await.json()["data"], json!({"n": 1}));
    }

    async fn a_type_may_be_kept_longer_than_its_tenant_says(database: Database) {
        let server = server(database).await;
        let receiver = Receiver::start().await.ignore_rest();
        let tenant = json!({"retention": {"events_s": 3_600, "payloads_s": 0}});
        server.api.put("/v1/tenants/default", &tenant).await.expect(200);
        let kept = json!({"description": "kept for ever", "retention": {"events_s": 0}});
        server.api.put("event-types/a.kept", &kept).await.expect(201);
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]});
        server.api.create_webhook(&webhook).await;
        delivered(&server, "a.kept", "kept").await;
        delivered(&server, "a.other", "other").await;
        server.advance(DAY);
        forgotten(&server, "other").await;
        assert_eq!(server.api.get("events/kept").await.json()["data"], json!({"n": "kept"}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_too_large_loses_its_oldest_events() {
    const BYTES_MAX: u64 = 3 << 20;
    let server = Database::sqlite().server().manual_clock().config(|config| {
        config.retention.bytes_max = BYTES_MAX;
    });
    let server = server.start().await;
    let long = "x".repeat(100_000);
    for number in 0..60 {
        let event = json!({"type": "a.b", "id": format!("e{number}"), "data": {"long": long}});
        server.api.send(&event).await;
        server.advance(Duration::from_secs(1));
    }
    server.advance(Duration::from_secs(60));
    forgotten(&server, "e0").await;
    assert_eq!(server.api.get("events/e59").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_whose_events_wait_does_not_fill_the_file_for_others() {
    const BYTES_MAX: u64 = 3 << 20;
    let server = Database::sqlite().server().manual_clock().ignore_unseen_deliveries();
    let server = server.config(|config| config.retention.bytes_max = BYTES_MAX).start().await;
    let waiting = server.create_tenant("waiting").await;
    let webhook = json!({"name": "w", "url": "http://127.0.0.1:9/w", "event_types": ["*"]});
    let webhook = waiting.create_webhook(&webhook).await;
    waiting.post(&format!("webhooks/{}/pause", webhook.id), &json!({})).await.expect(200);
    let long = "x".repeat(100_000);
    let event = |id: String| json!({"type": "a.b", "id": id, "data": {"long": long}});
    // The oldest events are on their way: nothing of them may go, for several batches.
    for number in 0..5 {
        waiting.send(&event(format!("e{number}"))).await;
        server.advance(Duration::from_secs(1));
    }
    for number in 0..60 {
        waiting.send(&json!({"type": "a.b", "id": format!("short-{number}"), "data": {}})).await;
    }
    for number in 0..60 {
        server.api.send(&event(format!("e{number}"))).await;
        server.advance(Duration::from_secs(1));
    }
    server.advance(Duration::from_secs(60));
    forgotten(&server, "e0").await;
    assert_eq!(server.api.get("events/e59").await.status, 200);
    assert_eq!(waiting.get("events/e0").await.status, 200);
}
