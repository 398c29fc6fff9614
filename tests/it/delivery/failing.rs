//! Receivers that fail for long: probes, a warning, the end, and what can be done by hand.

use std::time::Duration;

use antar_harness::{
    BinaryServer, Database, Receiver, Reply, TestServer, Webhook, eventually, on_both_databases,
};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

/// A server whose clock stands still, and where three failures are many.
async fn impatient(database: Database) -> TestServer {
    let few = |config: &mut antar::config::Config| config.delivery.failing_attempts = 3;
    database.server().manual_clock().config(few).start().await
}

async fn failing_webhook(server: &TestServer, receiver: &Receiver) -> Webhook {
    let webhook = json!({
        "name": "fails", "url": receiver.url("/w"), "event_types": ["a.*"],
        "retry": {"schedule_s": [300], "attempts_max": 1000, "jitter": 0},
    });
    server.api.create_webhook(&webhook).await
}

async fn send(server: &TestServer, count: usize) {
    let events: Vec<Value> = (0..count).map(|n| json!({"type": "a.b", "data": {"n": n}})).collect();
    server.api.post("events", &json!(events)).await.expect(202);
}

async fn eventually_many(server: &TestServer, query: &str, count: usize) {
    eventually(&format!("{count} deliveries with {query}"), async || {
        (server.api.deliveries(query).await.len() == count).then_some(())
    })
    .await;
}

/// Fails for so long that only probes go out: so many requests came.
async fn until_probed(server: &TestServer, receiver: &Receiver, webhook: &Webhook) -> usize {
    receiver.reply(Reply::status(500));
    send(server, 3).await;
    receiver.wait(3).await;
    eventually("all wait for another attempt", async || {
        let rows = server.api.deliveries("state=pending").await;
        (rows.len() == 3 && rows.iter().all(|d| d.attempts == 1)).then_some(())
    })
    .await;
    server.advance(5 * MINUTE);
    eventually("only probes are sent", async || {
        let shown = server.api.get(&format!("webhooks/{}", webhook.id)).await.json();
        shown["failing_since"].is_string().then_some(())
    })
    .await;
    eventually("all are held", async || {
        let rows = server.api.deliveries("state=pending").await;
        rows.iter().all(|d| d.reason.as_deref() == Some("webhook_failing")).then_some(())
    })
    .await;
    receiver.requests().len()
}

on_both_databases! {
    async fn a_receiver_that_fails_for_long_gets_one_probe_at_a_time_until_it_works(database: Database) {
        let server = impatient(database).await;
        let receiver = Receiver::start().await;
        let webhook = failing_webhook(&server, &receiver).await;
        let before = until_probed(&server, &receiver, &webhook).await;
        send(&server, 5).await;
        eventually_many(&server, "state=pending", 8).await;
        let event_id = server.api.deliveries("state=pending").await[0].event_id.clone();
        let explained = server.api.explain(&event_id, &webhook).await;
        assert!(explained["reason"].as_str().unwrap().contains("one probe at a time"), "{explained}");
        server.advance(MINUTE);
        assert_eq!(receiver.wait(before + 1).await.len(), before + 1);
        eventually("the probe has failed", async || {
            let rows = server.api.deliveries("state=pending").await;
            let held = rows.iter().filter(|d| d.reason.as_deref() == Some("webhook_failing"));
            (held.count() == 8).then_some(())
        })
        .await;
        receiver.reply(Reply::ok());
        server.advance(MINUTE);
        assert_eq!(receiver.requests().len(), before + 1, "the next probe comes later");
        server.advance(MINUTE);
        eventually_many(&server, "state=delivered", 8).await;
        let shown = server.api.get(&format!("webhooks/{}", webhook.id)).await.json();
        assert_eq!(shown["failing_since"], Value::Null);
        receiver.wait(before + 9).await;
    }

    async fn a_restart_forgets_neither_the_failure_nor_what_is_held(database: Database) {
        let server = impatient(database).await;
        let receiver = Receiver::start().await;
        let webhook = failing_webhook(&server, &receiver).await;
        let before = until_probed(&server, &receiver, &webhook).await;
        receiver.reply(Reply::ok());
        let server = server.restart().await;
        // A start begins with a probe.
        eventually_many(&server, "state=delivered", 3).await;
        receiver.wait(before + 3).await;
    }

    async fn somebody_who_resumes_it_is_believed(database: Database) {
        let server = impatient(database).await;
        let receiver = Receiver::start().await;
        let webhook = failing_webhook(&server, &receiver).await;
        let before = until_probed(&server, &receiver, &webhook).await;
        receiver.reply(Reply::ok());
        server.api.post(&format!("webhooks/{}/resume", webhook.id), &json!({})).await.expect(200);
        eventually_many(&server, "state=delivered", 3).await;
        receiver.wait(before + 3).await;
    }

    async fn its_tenant_is_warned_once_and_it_is_disabled_in_the_end(database: Database) {
        let server = impatient(database).await;
        let (receiver, told) = (Receiver::start().await, Receiver::start().await);
        let webhook = failing_webhook(&server, &receiver).await;
        for (name, event_types) in [("told", json!(["antar.*"])), ("all", json!(["*"]))] {
            let webhook = json!({"name": name, "url": told.url(&format!("/{name}")), "event_types": event_types});
            server.api.create_webhook(&webhook).await;
        }
        until_probed(&server, &receiver, &webhook).await;
        let path = format!("webhooks/{}", webhook.id);
        // Each probe fails; the longest wait between two is half an hour.
        let (mut half_hours, mut warned_at) = (0, None);
        loop {
            let requests = receiver.requests().len();
            server.advance(30 * MINUTE);
            half_hours += 1;
            eventually("a probe has failed, or it is disabled", async || {
                let ended = server.api.get(&path).await.json()["enabled"] == false;
                let failed = receiver.requests().len() > requests
                    && server.api.deliveries("state=in_flight").await.is_empty();
                (ended || failed).then_some(())
            })
            .await;
            if server.api.get(&path).await.json()["enabled"] == false {
                break;
            }
            if warned_at.is_none() && !told.at("/told").is_empty() {
                warned_at = Some(half_hours);
            }
            assert!(half_hours < 300, "it goes on for ever");
        }
        assert!((119..=122).contains(&warned_at.unwrap()), "halfway to five days: {warned_at:?}");
        assert!((239..=242).contains(&half_hours), "{half_hours}");
        let events = told.wait_at("/told", 2).await;
        assert_eq!(events.len(), 2, "one warning and the end");
        let body: Value = serde_json::from_slice(&events[0].body).unwrap();
        assert_eq!(body["type"], "antar.webhook.failing");
        assert_eq!(body["data"]["webhook"]["name"], "fails");
        let own = |request: &antar_harness::Request| String::from_utf8_lossy(&request.body).contains("antar.");
        assert!(!told.at("/all").iter().any(own), "`*` does not mean Antar's own events");
        let body: Value = serde_json::from_slice(&events[1].body).unwrap();
        assert_eq!(body["type"], "antar.webhook.disabled");
        assert!(body["data"]["reason"].as_str().unwrap().starts_with("nothing but failures since"));
        // What passes now is missed, and can be replayed.
        send(&server, 1).await;
        eventually_many(&server, &format!("webhook_id={}&state=missed", webhook.id), 1).await;
        eventually_many(&server, &format!("webhook_id={}&state=pending", webhook.id), 3).await;
        told.wait_at("/all", 4).await;
    }

    async fn the_receiver_s_own_word_is_told_too(server: TestServer) {
        let (receiver, told) = (Receiver::start().await, Receiver::start().await);
        receiver.reply(Reply::status(410));
        let webhook = json!({"name": "gone", "url": receiver.url("/w"), "event_types": ["*", "antar.*"]});
        let webhook = server.api.create_webhook(&webhook).await;
        let listens = json!({"name": "told", "url": told.url("/told"), "event_types": ["antar.webhook.disabled"]});
        server.api.create_webhook(&listens).await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        server.api.delivery_in("failed", &format!("event_id={event_id}")).await;
        let request = told.wait(1).await.remove(0);
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["type"], "antar.webhook.disabled");
        assert_eq!(body["data"]["webhook"]["id"], webhook.id.as_str());
        assert_eq!(body["data"]["reason"], "the receiver answered 410");
        eventually("the news arrived", async || {
            let rows = server.api.deliveries("state=delivered").await;
            (rows.len() == 1).then_some(())
        })
        .await;
        assert_eq!(receiver.wait(1).await.len(), 1, "it is not told of itself");
        let missed = server.api.deliveries(&format!("webhook_id={}&state=missed", webhook.id)).await;
        assert!(missed.is_empty());
    }

    async fn types_of_antar_s_own_can_t_be_posted(server: TestServer) {
        let answer = server.api.post("events", &json!({"type": "antar.webhook.failing", "data": {}})).await;
        let problem = answer.expect(422).json();
        assert_eq!(problem["errors"][0]["pointer"], "/type");
    }

    async fn all_deliveries_of_a_webhook_are_cancelled_or_begun_anew(database: Database) {
        let server = database.server().manual_clock().config(|c| c.delivery.bulk_max = 4).start().await;
        let receiver = Receiver::start().await;
        receiver.reply(Reply::status(500));
        let webhook = json!({
            "name": "w", "url": receiver.url("/w"), "event_types": ["*"],
            "retry": {"schedule_s": [60], "attempts_max": 2, "jitter": 0},
        });
        let webhook = server.api.create_webhook(&webhook).await;
        let path = |what: &str| format!("webhooks/{}/{what}", webhook.id);
        send(&server, 6).await;
        eventually("all wait", async || {
            let rows = server.api.deliveries("state=pending").await;
            (rows.len() == 6 && rows.iter().all(|d| d.attempts == 1)).then_some(())
        })
        .await;
        server.advance(Duration::from_secs(60));
        eventually_many(&server, "state=failed", 6).await;
        let since = server.clock().now().to_string();
        server.advance(Duration::from_secs(1));
        let later = json!({"since": since});
        let nothing = server.api.post(&path("retry"), &later).await.expect(202).json();
        assert_eq!(nothing, json!({"retried": 0, "more": false}));
        receiver.reply(Reply::ok());
        let some = server.api.post(&path("retry"), &json!({})).await.expect(202).json();
        assert_eq!(some, json!({"retried": 4, "more": true}));
        let rest = server.api.post(&path("retry"), &json!({"state": "failed"})).await.expect(202).json();
        assert_eq!(rest, json!({"retried": 2, "more": false}));
        eventually_many(&server, "state=delivered", 6).await;
        assert_eq!(receiver.wait(18).await.len(), 18);
        let bad = server.api.post(&path("retry"), &json!({"state": "delivered"})).await;
        assert_eq!(bad.expect(422).json()["errors"][0]["pointer"], "/state");

        receiver.reply(Reply::status(500));
        send(&server, 3).await;
        eventually("all wait", async || {
            let rows = server.api.deliveries("state=pending").await;
            (rows.len() == 3 && rows.iter().all(|d| d.attempts == 1)).then_some(())
        })
        .await;
        let cancelled = server.api.post(&path("cancel"), &json!({})).await.expect(200).json();
        assert_eq!(cancelled, json!({"cancelled": 3, "in_flight": 0}));
        eventually_many(&server, "state=cancelled", 3).await;
        receiver.wait(21).await;
    }

    async fn a_webhook_is_drained_and_goes_on(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply(Reply::ok().after(Duration::from_millis(300)));
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"], "limits": {"in_flight_max": 1}});
        let webhook = server.api.create_webhook(&webhook).await;
        send(&server, 5).await;
        receiver.wait(1).await;
        let path = format!("webhooks/{}/drain", webhook.id);
        let left = eventually("it is drained", async || {
            let answer = server.api.post(&path, &json!({})).await;
            assert!(matches!(answer.status, 200 | 202));
            (answer.status == 200).then(|| answer.json())
        })
        .await;
        assert_eq!(left["in_flight"], 0);
        let held = usize::try_from(left["held"].as_u64().unwrap()).unwrap();
        let came = receiver.requests().len();
        assert_eq!(held + came, 5, "what was begun has ended, the rest is held");
        server.api.post(&format!("webhooks/{}/resume", webhook.id), &json!({})).await.expect(200);
        eventually_many(&server, "state=delivered", 5).await;
        receiver.wait(5).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_deals_with_all_of_a_webhook() {
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    let server = BinaryServer::start(Database::sqlite()).await;
    let webhook = json!({
        "name": "w", "url": receiver.url("/w"), "event_types": ["*"], "retry": {"attempts_max": 1},
    });
    server.api.create_webhook(&webhook).await;
    for n in 0..3 {
        let event_id = server.api.send(&json!({"type": "a.b", "data": {"n": n}})).await;
        server.api.delivery_in("failed", &format!("event_id={event_id}")).await;
    }
    receiver.reply(Reply::ok());
    let cli = |words: &[&str]| serde_json::from_str::<Value>(&server.cli(words)).unwrap();
    let paused = cli(&["webhook", "pause", "w"]);
    assert_eq!(paused["paused"], true);
    assert_eq!(cli(&["webhook", "retry", "w"]), json!({"retried": 3}));
    assert_eq!(cli(&["webhook", "drain", "w"]), json!({"in_flight": 0, "held": 3}));
    assert_eq!(cli(&["webhook", "cancel", "w"]), json!({"cancelled": 3, "in_flight": 0}));
    assert_eq!(cli(&["webhook", "retry", "w", "--state", "cancelled"]), json!({"retried": 3}));
    assert_eq!(cli(&["webhook", "resume", "w"])["paused"], false);
    receiver.wait(6).await;
    eventually("all are delivered", async || {
        (server.api.deliveries("state=delivered").await.len() == 3).then_some(())
    })
    .await;
}
