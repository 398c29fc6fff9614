//! Failed attempts, and what a person can do about them.

use antar_harness::{Database, Receiver, Reply, TestServer, eventually, on_both_databases};
use serde_json::{Value, json};

on_both_databases! {
    async fn the_bytes_of_a_retry_are_those_of_the_first_attempt(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply(Reply::status(500));
        let webhook = server
            .api
            .create_webhook(&json!({
                "name": "w", "url": receiver.url("/first/{{data.n}}"), "event_types": ["*"], "method": "PUT",
                "headers": {"X-N": "{{data.n}}", "X-Attempt": "{{antar.attempt}}"}, "body": r#"{"n": {{data.n}}}"#,
                "retry": {"schedule_s": [3600], "attempts_max": 9},
            }))
            .await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {"n": 7}})).await;
        let query = format!("event_id={event_id}");
        let delivery = server.api.delivery_that("waits", &query, |d| d.state == "pending" && d.attempts == 1).await;
        let change = json!({"url": receiver.url("/second"), "body": r#"{"changed": true}"#, "headers": {}});
        server.api.patch(&format!("webhooks/{}", webhook.id), &change).await.expect(200);
        receiver.reply(Reply::ok());
        server.api.post(&format!("deliveries/{}/retry", delivery.id), &json!({})).await.expect(202);
        let delivery = server.api.delivery_in("delivered", &query).await;
        let requests = receiver.wait(2).await;
        let same = |request: &antar_harness::Request| {
            let header = request.header("x-n").map(str::to_owned);
            (request.method.clone(), request.target.clone(), header, request.body.clone())
        };
        assert_eq!(same(&requests[0]), same(&requests[1]));
        assert_eq!(requests[0].target, "/first/7");
        assert_eq!((requests[0].header("x-attempt"), requests[1].header("x-attempt")), (Some("1"), Some("2")));
        let attempts = server.api.attempts(&delivery).await;
        let of = |name: &str| attempts.iter().map(|attempt| attempt[name].clone()).collect::<Vec<Value>>();
        assert_eq!(of("number"), [1, 2]);
        assert_eq!(of("revision"), [1, 2]);
        assert_eq!(attempts[0]["response"]["status"], 500);
    }

    async fn a_disabled_webhook_misses_and_is_caught_up_by_hand(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = server
            .api
            .create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"], "enabled": false}))
            .await;
        let first = server.api.send(&json!({"type": "a.b", "data": {"n": 1}})).await;
        let second = server.api.send(&json!({"type": "a.b", "data": {"n": 2}})).await;
        let missed = server.api.delivery_in("missed", &format!("event_id={first}")).await;
        assert_eq!(missed.attempts, 0);
        assert_eq!(server.api.explain(&first, &webhook).await["outcome"], "missed");
        server.api.enable(&webhook).await;
        // One by its delivery: the same id goes on.
        server.api.post(&format!("deliveries/{}/retry", missed.id), &json!({})).await.expect(202);
        let delivered = server.api.delivery_in("delivered", &format!("event_id={first}")).await;
        assert_eq!(delivered.id, missed.id);
        // The rest by replay: a new delivery of the same event.
        server.api.post(&format!("webhooks/{}/replay", webhook.id), &json!({"only": "missed"})).await.expect(202);
        let replayed = server.api.delivery_in("delivered", &format!("event_id={second}")).await;
        let requests = receiver.wait(2).await;
        assert_eq!(requests[1].header("webhook-id"), Some(second.as_str()));
        assert_eq!(replayed.attempts, 1);
    }

    async fn pending_deliveries_of_a_disabled_webhook_are_held_and_go_on(database: Database) {
        let server = database.server().manual_clock().start().await;
        let receiver = Receiver::start().await;
        receiver.reply_with(|_, nth| Reply::status(if nth == 1 { 500 } else { 200 }));
        let webhook = server
            .api
            .create_webhook(&json!({
                "name": "w", "url": receiver.url("/w"), "event_types": ["*"],
                "retry": {"schedule_s": [60], "attempts_max": 3, "jitter": 0},
            }))
            .await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        let query = format!("event_id={event_id}");
        server.api.delivery_that("waits", &query, |d| d.state == "pending" && d.attempts == 1).await;
        server.api.disable(&webhook).await;
        let held = server.api.delivery_that("is held", &query, |d| d.reason.as_deref() == Some("webhook_disabled")).await;
        assert_eq!(held.state, "pending");
        server.advance(std::time::Duration::from_secs(600));
        server.api.enable(&webhook).await;
        server.api.delivery_in("delivered", &query).await;
        assert_eq!(receiver.wait(2).await.len(), 2);
    }

    async fn redirects_are_named_and_not_followed(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply(Reply::status(302).header("location", &receiver.url("/elsewhere")));
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"], "retry": {"attempts_max": 1}});
        server.api.create_webhook(&webhook).await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        let delivery = server.api.delivery_in("failed", &format!("event_id={event_id}")).await;
        let reason = delivery.reason.clone().unwrap();
        assert!(reason.contains("redirects are not followed") && reason.contains("/elsewhere"), "{reason}");
        assert_eq!(receiver.requests().len(), 1);
    }

    async fn gone_disables_the_webhook(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply(Reply::status(410));
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]});
        let webhook = server.api.create_webhook(&webhook).await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        server.api.delivery_in("failed", &format!("event_id={event_id}")).await;
        let path = format!("webhooks/{}", webhook.id);
        eventually("the webhook is disabled", async || {
            let shown = server.api.get(&path).await.expect(200).json();
            (shown["enabled"] == false).then_some(())
        })
        .await;
        receiver.wait(1).await;
    }

    async fn a_success_pattern_looks_into_the_answer(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply_with(|_, nth| {
            let body = if nth == 1 { r#"{"ok":false}"# } else { r#"{"ok":true}"# };
            Reply::ok().header("content-type", "application/json").body(body)
        });
        server
            .api
            .create_webhook(&json!({
                "name": "w", "url": receiver.url("/w"), "event_types": ["*"], "success": {"body": {"ok": [true]}},
                "retry": {"schedule_s": [1], "attempts_max": 2, "jitter": 0},
            }))
            .await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        let delivery = server.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
        assert_eq!(delivery.attempts, 2);
        receiver.wait(2).await;
    }

    async fn transient_retries_only_what_may_pass(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply(Reply::status(400).body("no such field"));
        server
            .api
            .create_webhook(&json!({
                "name": "w", "url": receiver.url("/w"), "event_types": ["*"],
                "retry": {"schedule_s": [1], "attempts_max": 5, "statuses": "transient"},
            }))
            .await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        let delivery = server.api.delivery_in("failed", &format!("event_id={event_id}")).await;
        assert_eq!(delivery.attempts, 1);
        let attempt = server.api.attempts(&delivery).await.remove(0);
        assert_eq!(attempt["response"]["body"], "no such field");
        receiver.wait(1).await;
    }

    async fn a_receiver_that_hangs_slows_only_itself(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply_with(|request, _| if request.path() == "/hangs" { Reply::hang() } else { Reply::ok() });
        let webhook = |name: &str| {
            json!({"name": name, "url": receiver.url(&format!("/{name}")), "event_types": ["*"], "timeout_ms": 500,
                   "retry": {"attempts_max": 1}})
        };
        let hangs = server.api.create_webhook(&webhook("hangs")).await;
        server.api.create_webhook(&webhook("lives")).await;
        for n in 0..40 {
            server.api.send(&json!({"type": "a.b", "data": {"n": n}})).await;
        }
        assert_eq!(receiver.wait_at("/lives", 40).await.len(), 40);
        let query = format!("webhook_id={}&state=failed", hangs.id);
        let failed = eventually("all to the hanging one failed", async || {
            Some(server.api.deliveries(&query).await).filter(|failed| failed.len() == 40)
        })
        .await;
        assert!(failed[0].reason.as_deref().unwrap().contains("500 ms"), "{:?}", failed[0]);
        receiver.wait_at("/hangs", 40).await;
    }

    async fn a_delivered_one_is_not_retried_but_replayed(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]});
        let webhook = server.api.create_webhook(&webhook).await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        let query = format!("event_id={event_id}");
        let delivery = server.api.delivery_in("delivered", &query).await;
        assert_eq!(server.api.post(&format!("deliveries/{}/retry", delivery.id), &json!({})).await.problem().0, 409);
        server.api.post(&format!("webhooks/{}/replay", webhook.id), &json!({"event_ids": [event_id]})).await.expect(202);
        let requests = receiver.wait(2).await;
        assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
        let again = server.api.delivery_that("is another", &query, |d| d.id != delivery.id && d.state == "delivered").await;
        assert_eq!(again.event_id, event_id);
    }

    async fn a_cancelled_delivery_is_not_made(database: Database) {
        let server = database.server().manual_clock().start().await;
        let receiver = Receiver::start().await;
        receiver.reply(Reply::status(500));
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        let query = format!("event_id={event_id}");
        let delivery = server.api.delivery_that("waits", &query, |d| d.state == "pending" && d.attempts == 1).await;
        server.api.post(&format!("deliveries/{}/cancel", delivery.id), &json!({})).await.expect(200);
        server.advance(std::time::Duration::from_secs(3_600));
        server.api.delivery_in("cancelled", &query).await;
        assert_eq!(receiver.wait(1).await.len(), 1);
    }
}
