//! What breaks under the server, by name: nothing that was accepted is lost, and it recovers by
//! itself.

use std::time::Duration;

use antar_harness::{
    BinaryServer, Database, Receiver, Reply, TestServer, eventually, on_both_databases,
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_for_a_while_costs_nothing() {
    let Some(database) = Database::postgres().await else { return };
    let (database, proxy) = database.behind_proxy().await;
    let server = BinaryServer::start(database).await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::ok().after(Duration::from_millis(300)));
    let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]});
    server.api.create_webhook(&webhook).await;
    let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
    receiver.wait(1).await;
    // Before the answer to the attempt can be recorded.
    proxy.cut();
    let refused = server.api.post("events", &json!({"type": "a.b", "data": {}})).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    proxy.mend();
    // Connections that broke while nobody used them are found out one by one.
    let delivered = async |id: &str| {
        let path = format!("deliveries?event_id={id}&state=delivered");
        eventually("it is delivered", async || {
            let answer = server.api.get(&path).await;
            let row = (answer.status == 200).then(|| answer.json()["data"][0].clone());
            row.filter(serde_json::Value::is_object)
        })
        .await
    };
    let attempts = delivered(&event_id).await["attempts"].clone();
    assert_eq!(attempts, 1, "the attempt was recorded when that was possible again");
    let again = eventually("events are accepted again", async || {
        let answer = server.api.post("events", &json!({"type": "a.b", "data": {}})).await;
        (answer.status == 202).then(|| answer.json()["id"].as_str().unwrap().to_owned())
    })
    .await;
    delivered(&again).await;
    assert!(receiver.requests().len() >= 2);
}

on_both_databases! {
    async fn a_disk_that_fails_to_commit_refuses_and_recovers(database: Database) {
        let receiver = Receiver::start().await;
        let mut server = BinaryServer::start(database).await;
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]});
        server.api.create_webhook(&webhook).await;
        server.kill();
        assert!(server.start_failing("accept.commit.before=error@1..3,record.commit.before=error@1..3").await);
        for _ in 0..3 {
            let refused = server.api.post("events", &json!({"type": "a.b", "id": "e", "data": {}})).await;
            assert_eq!(refused.status, 503, "{}", refused.text());
        }
        assert!(receiver.requests().is_empty(), "nothing is sent that is not durable");
        server.api.send(&json!({"type": "a.b", "id": "e", "data": {}})).await;
        let delivery = server.api.delivery_in("delivered", "event_id=e").await;
        assert_eq!(delivery.attempts, 1, "the record was tried until it was durable");
        assert_eq!(receiver.requests().len(), 1);
    }

    async fn a_clock_that_jumps_ahead_sends_nothing_twice(database: Database) {
        let server: TestServer = database.server().manual_clock().start().await;
        let receiver = Receiver::start().await;
        receiver.reply_with(|_, nth| Reply::status(if nth == 1 { 500 } else { 200 }));
        let retry = json!({"schedule_s": [60], "attempts_max": 3, "jitter": 0});
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"], "retry": retry});
        server.api.create_webhook(&webhook).await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        let query = format!("event_id={event_id}");
        server.api.delivery_that("waits", &query, |d| d.attempts == 1 && d.state == "pending").await;
        const DAY: Duration = Duration::from_secs(86_400);
        server.advance(DAY);
        let delivery = server.api.delivery_in("delivered", &query).await;
        assert_eq!(delivery.attempts, 2);
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        server.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
        assert_eq!(receiver.requests().len(), 3);
    }
}
