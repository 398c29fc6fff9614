//! What receivers ask for, and what they do to whoever calls them.

use std::time::Duration;

use antar_harness::{Database, Receiver, Reply, TestServer, eventually, on_both_databases};
use serde_json::{Value, json};

fn webhook(url: &str, more: Value) -> Value {
    let mut webhook = json!({"name": "w", "url": url, "event_types": ["*"]});
    webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    webhook
}

fn event() -> Value {
    json!({"type": "a.b", "data": {}})
}

on_both_databases! {
    async fn the_later_of_schedule_and_retry_after_counts(database: Database) {
        let server = database.server().manual_clock().start().await;
        let receiver = Receiver::start().await;
        let retry = json!({"retry": {"schedule_s": [60], "attempts_max": 9, "jitter": 0}});
        let webhook = server.api.create_webhook(&webhook(&receiver.url("/w"), retry)).await;
        let waits = [("300", 300), ("5", 60), ("Tue, 10 Mar 2026 12:30:00 GMT", 1_800), ("9999999", 3_600)];
        for (asked, wait_s) in waits {
            receiver.reply(Reply::status(500).header("retry-after", asked));
            let event_id = server.api.send(&event()).await;
            let query = format!("event_id={event_id}");
            let delivery = server.api.delivery_that("waits", &query, |d| d.attempts == 1 && d.state == "pending").await;
            let due = antar::model::Millis::parse(&delivery.next_attempt_at.unwrap()).unwrap();
            assert_eq!(due.0 - server.clock().now().0, wait_s * 1_000, "asked for {asked}");
            let explained = server.api.explain(&event_id, &webhook).await;
            let reason = explained["reason"].as_str().unwrap().to_owned();
            assert_eq!(reason.contains("asked for a wait"), wait_s != 60, "{reason}");
        }
        receiver.wait(4).await;
    }

    async fn too_many_requests_slow_the_whole_webhook(database: Database) {
        let server = database.server().manual_clock().start().await;
        let receiver = Receiver::start().await;
        receiver.reply(Reply::status(429));
        let settings = json!({"limits": {"in_flight_max": 1}, "retry": {"schedule_s": [1], "jitter": 0}});
        let webhook = server.api.create_webhook(&webhook(&receiver.url("/w"), settings)).await;
        let events: Vec<_> = (0..6).map(|_| event()).collect();
        let sent = server.api.post("events", &json!(events)).await.expect(202).json();
        let waiting = eventually("all but one have a rest", async || {
            let rows = server.api.deliveries("state=pending").await;
            let resting = rows.iter().filter(|d| d.reason.as_deref() == Some("receiver_busy"));
            (rows.len() == 6 && resting.count() == 5).then_some(rows)
        })
        .await;
        assert_eq!(receiver.requests().len(), 1, "one complaint is enough");
        let resting = waiting.iter().find(|d| d.reason.as_deref() == Some("receiver_busy")).unwrap();
        assert_eq!(resting.attempts, 0, "a rest is no attempt");
        let explained = server.api.explain(&resting.event_id, &webhook).await;
        assert!(explained["reason"].as_str().unwrap().contains("429 or 503"), "{explained}");
        // What comes meanwhile waits too.
        server.api.send(&event()).await;
        receiver.reply(Reply::ok());
        server.advance(Duration::from_secs(1));
        receiver.wait(1 + sent.as_array().unwrap().len() + 1).await;
        eventually("all are delivered", async || {
            (server.api.deliveries("state=delivered").await.len() == 7).then_some(())
        })
        .await;
    }

    async fn an_answer_can_end_the_delivery_or_all(server: TestServer) {
        let receiver = Receiver::start().await;
        let made = server.api.create_webhook(&webhook(&receiver.url("/w"), json!({}))).await;
        receiver.reply(Reply::status(500).header("webhook-delivery", "abort-message"));
        let event_id = server.api.send(&event()).await;
        let aborted = server.api.delivery_in("failed", &format!("event_id={event_id}")).await;
        assert_eq!(aborted.attempts, 1);
        assert!(aborted.reason.unwrap().contains("wants no more attempts of this delivery"));
        receiver.reply(Reply::status(500).header("webhook-delivery", "disable"));
        let event_id = server.api.send(&event()).await;
        let last = server.api.delivery_in("failed", &format!("event_id={event_id}")).await;
        assert!(last.reason.unwrap().contains("wants no more deliveries"));
        let path = format!("webhooks/{}", made.id);
        eventually("the webhook is disabled", async || {
            let shown = server.api.get(&path).await.expect(200).json();
            (shown["enabled"] == false && shown["disabled_reason"].is_string()).then_some(())
        })
        .await;
        // With a success the word has no meaning: it arrived.
        server.api.enable(&made).await;
        receiver.reply(Reply::ok().header("webhook-delivery", "disable"));
        let event_id = server.api.send(&event()).await;
        server.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
        assert_eq!(server.api.get(&path).await.json()["enabled"], true);
        receiver.wait(3).await;
    }

    async fn statuses_and_the_network_are_chosen_per_webhook(server: TestServer) {
        let receiver = Receiver::start().await;
        let retry = json!({"retry": {"schedule_s": [3600], "statuses": [429, "5xx"], "network": false}});
        let made = server.api.create_webhook(&webhook(&receiver.url("/w"), retry.clone())).await;
        assert_eq!(made.json["retry"], retry["retry"]);
        let replies = [
            (Reply::status(404), "failed"),
            (Reply::status(302), "failed"),
            (Reply::close(), "failed"),
            (Reply::status(500), "pending"),
        ];
        for (reply, state) in replies {
            receiver.reply(reply);
            let event_id = server.api.send(&event()).await;
            let delivery = server
                .api
                .delivery_that("was tried", &format!("event_id={event_id}"), |d| d.attempts == 1)
                .await;
            assert_eq!(delivery.state, state, "{:?}", delivery.reason);
            if state == "failed" {
                assert!(delivery.reason.unwrap().contains("`retry` does not try that again"));
            }
        }
        receiver.wait(4).await;
        for bad in [json!([410]), json!(["6xx"]), json!("never")] {
            let retry = json!({"retry": {"statuses": bad}, "name": "bad"});
            let answer = server.api.post("webhooks", &webhook(&receiver.url("/w"), retry)).await;
            let problem = answer.expect(422).json();
            let pointer = problem["errors"][0]["pointer"].as_str().unwrap();
            assert!(pointer.starts_with("/retry/statuses"), "{problem}");
        }
    }

    async fn what_came_of_an_answer_is_kept_when_its_body_does_not_end(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply(Reply::status(200).header("x-trace", "abc").body("the beginning").stalling());
        let settings = json!({"timeout_ms": 300, "retry": {"attempts_max": 1}});
        server.api.create_webhook(&webhook(&receiver.url("/w"), settings)).await;
        let event_id = server.api.send(&event()).await;
        let delivery = server.api.delivery_in("failed", &format!("event_id={event_id}")).await;
        let attempt = server.api.attempts(&delivery).await.remove(0);
        assert_eq!(attempt["error"], "the answer 200 began, but had not ended within 300 ms");
        assert_eq!(attempt["response"]["headers"]["x-trace"], "abc");
        assert_eq!(attempt["response"]["body"], "the beginning");
        assert_eq!(attempt["response"]["truncated"], true);
        receiver.wait(1).await;
    }

    async fn a_head_without_end_is_cut_off(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply(Reply::endless_head());
        let settings = json!({"timeout_ms": 60_000, "retry": {"attempts_max": 1}});
        server.api.create_webhook(&webhook(&receiver.url("/w"), settings)).await;
        let event_id = server.api.send(&event()).await;
        let delivery = server.api.delivery_in("failed", &format!("event_id={event_id}")).await;
        let reason = delivery.reason.unwrap();
        assert!(reason.contains("the head of the answer is larger than it may be"), "{reason}");
        receiver.wait(1).await;
    }
}
