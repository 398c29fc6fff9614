//! A graceful stop and a start on the same data.

use antar_harness::{Receiver, Reply, TestServer, on_both_databases};
use serde_json::json;

on_both_databases! {
    async fn a_restart_goes_on_with_what_waits(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply_with(|_, nth| Reply::status(if nth == 1 { 500 } else { 200 }));
        let webhook = json!({
            "name": "w", "url": receiver.url("/w"), "event_types": ["*"],
            "retry": {"schedule_s": [2], "attempts_max": 2, "jitter": 0},
        });
        let webhook = server.api.create_webhook(&webhook).await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {"n": 1}})).await;
        let query = format!("event_id={event_id}");
        server.api.delivery_that("waits", &query, |d| d.attempts == 1 && d.state == "pending").await;
        let server = server.restart().await;
        let delivery = server.api.delivery_in("delivered", &query).await;
        assert_eq!(delivery.attempts, 2);
        let requests = receiver.wait(2).await;
        assert_eq!(requests[0].body, requests[1].body);
        // The secret is the old one, read from where it was sealed.
        antar_harness::verify::assert_standard_v1(&requests[1], &webhook.secret);
    }

    async fn a_stop_waits_for_attempts_under_way(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply(Reply::ok().after(std::time::Duration::from_millis(300)));
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        receiver.wait(1).await;
        let server = server.restart().await;
        let delivery = server.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
        assert_eq!(delivery.attempts, 1);
        assert_eq!(receiver.requests().len(), 1, "the attempt was finished, not made again");
    }
}
