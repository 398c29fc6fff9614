//! Old events sent again: shown first, paced, stopped, and gone on with after a crash.

use std::collections::HashSet;

use antar_harness::{
    Api, BinaryServer, Database, Receiver, TestServer, Webhook, eventually, on_both_databases,
};
use serde_json::{Value, json};

/// Sends so many events to whoever wants them, in one request.
async fn send_many(api: &Api, count: usize) {
    let events: Vec<Value> = (0..count)
        .map(|n| {
            let event_type = if n % 2 == 0 { "a.even" } else { "a.odd" };
            json!({"type": event_type, "id": format!("e{n}"), "attributes": {"subject": format!("s{}", n % 3)},
                   "data": {"n": n}})
        })
        .collect();
    api.post("events", &json!(events)).await.expect(202);
}

/// A webhook that missed so many events and is enabled now.
async fn with_missed(api: &Api, receiver: &Receiver, count: usize) -> Webhook {
    let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"], "enabled": false,
                         "body": r#"{"number": {{data.n}}}"#});
    let webhook = api.create_webhook(&webhook).await;
    send_many(api, count).await;
    api.enable(&webhook).await;
    webhook
}

async fn replay(api: &Api, webhook: &Webhook, request: &Value) -> Value {
    api.post(&format!("webhooks/{}/replay", webhook.id), request).await.expect(202).json()
}

async fn plan(api: &Api, webhook: &Webhook, mut request: Value) -> Value {
    request["dry_run"] = true.into();
    api.post(&format!("webhooks/{}/replay", webhook.id), &request).await.expect(200).json()
}

/// The replay once `wanted` is true of it.
async fn replay_that(api: &Api, what: &str, id: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
    let path = format!("replays/{}", id.as_str().unwrap());
    eventually(&format!("a replay that {what}"), async || {
        Some(api.get(&path).await.expect(200).json()).filter(|replay| wanted(replay))
    })
    .await
}

on_both_databases! {
    async fn what_would_be_sent_is_counted_and_shown_first(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = with_missed(&server.api, &receiver, 7).await;
        let shown = plan(&server.api, &webhook, json!({"only": "missed"})).await;
        assert_eq!((&shown["count"], &shown["exact"]), (&json!(7), &json!(true)));
        let samples = shown["samples"].as_array().unwrap();
        assert_eq!(samples.len(), 3);
        for sample in samples {
            let number = sample["event_id"].as_str().unwrap().trim_start_matches('e');
            let request = &sample["preview"]["request"];
            assert_eq!(request["body"], format!(r#"{{"number": {number}}}"#), "{sample}");
            assert_eq!(request["url"], receiver.url("/w"));
            assert!(request["headers"]["webhook-signature"].is_string(), "{sample}");
        }
        assert!(receiver.requests().is_empty());
        // What it says is what is then done.
        let done = replay(&server.api, &webhook, &json!({"only": "missed"})).await;
        assert_eq!((&done["state"], &done["count"], &done["made"]), (&json!("done"), &json!(7), &json!(7)));
        assert_eq!(done["delivery_ids"].as_array().unwrap().len(), 7);
        receiver.wait(7).await;
        assert_eq!(plan(&server.api, &webhook, json!({"only": "missed"})).await["count"], 0);
        let listed = server.api.list(&format!("replays?webhook_id={}", webhook.id)).await;
        assert_eq!((listed.len(), &listed[0]["id"]), (1, &done["id"]));
    }

    async fn a_filter_narrows_what_is_sent(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = with_missed(&server.api, &receiver, 30).await;
        let count = async |request: Value| plan(&server.api, &webhook, request).await["count"].as_u64().unwrap();
        assert_eq!(count(json!({"only": "missed", "event_types": ["a.even"]})).await, 15);
        assert_eq!(count(json!({"only": "missed", "event_types": ["a.*"]})).await, 30);
        assert_eq!(count(json!({"only": "missed", "subject": "s1"})).await, 10);
        let rule = json!({"data": {"n": [{"numeric": ["<", 4]}]}});
        assert_eq!(count(json!({"only": "missed", "rule": rule})).await, 4);
        assert_eq!(count(json!({"only": "missed", "until": "2026-01-01T00:00:00Z"})).await, 0);
        let both = json!({"only": "missed", "rule": rule, "event_types": ["a.odd"]});
        let done = replay(&server.api, &webhook, &both).await;
        assert_eq!((&done["made"], &done["skipped"]), (&json!(2), &json!(28)));
        let mut bodies: Vec<_> = receiver.wait(2).await.iter().map(|request| request.json()["number"].clone()).collect();
        bodies.sort_by_key(|number| number.as_u64());
        assert_eq!(bodies, [1, 3]);
        let wrong = json!({"only": "missed", "rule": {"data": {"n": [{"numeric": ["~", 4]}]}}});
        let refused = server.api.post(&format!("webhooks/{}/replay", webhook.id), &wrong).await;
        assert_eq!(refused.problem(), (422, "rule_invalid".to_owned()));
    }

    async fn a_webhook_of_today_gets_the_events_of_last_week_that_it_wants(server: TestServer) {
        let receiver = Receiver::start().await;
        send_many(&server.api, 10).await;
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["a.even"]});
        let webhook = server.api.create_webhook(&webhook).await;
        server.api.send(&json!({"type": "a.even", "id": "live", "data": {}})).await;
        receiver.wait(1).await;
        let of = |events: &str| json!({"events": events, "since": "2026-01-01T00:00:00Z"});
        assert_eq!(plan(&server.api, &webhook, of("all")).await["count"], 6);
        let done = replay(&server.api, &webhook, &of("new")).await;
        assert_eq!((&done["state"], &done["made"]), (&json!("done"), &json!(5)));
        let ids: HashSet<_> = receiver.wait(6).await[1..]
            .iter()
            .map(|request| request.header("webhook-id").unwrap().to_owned())
            .collect();
        assert_eq!(ids, ["e0", "e2", "e4", "e6", "e8"].map(str::to_owned).into());
        assert_eq!(plan(&server.api, &webhook, of("new")).await["count"], 0);
        // The same events once more, because all are asked for.
        assert_eq!(replay(&server.api, &webhook, &of("all")).await["made"], 6);
        receiver.wait(12).await;
    }

    async fn waiting_deliveries_are_sent_anew_and_each_event_once(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = json!({"name": "w", "url": receiver.url("/old"), "event_types": ["*"]});
        let webhook = server.api.create_webhook(&webhook).await;
        server.api.post(&format!("webhooks/{}/pause", webhook.id), &json!({})).await.expect(200);
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        // A second waiting delivery of the same event.
        replay(&server.api, &webhook, &json!({"event_ids": [event_id, event_id]})).await;
        let query = format!("event_id={event_id}");
        assert_eq!(server.api.deliveries(&query).await.len(), 2);
        let done = replay(&server.api, &webhook, &json!({"state": "pending"})).await;
        assert_eq!((&done["count"], &done["made"], &done["skipped"]), (&json!(1), &json!(1), &json!(1)));
        server.api.patch(&format!("webhooks/{}", webhook.id), &json!({"url": receiver.url("/new")})).await.expect(200);
        server.api.post(&format!("webhooks/{}/resume", webhook.id), &json!({})).await.expect(200);
        assert_eq!(receiver.wait(1).await[0].path(), "/new");
        server.api.delivery_in("delivered", &query).await;
        let states: Vec<_> = server.api.deliveries(&query).await.into_iter().map(|d| d.state).collect();
        assert_eq!(states.iter().filter(|state| *state == "cancelled").count(), 2, "{states:?}");
    }

    async fn a_stopped_replay_makes_no_more_deliveries(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = with_missed(&server.api, &receiver, 40).await;
        let running = replay(&server.api, &webhook, &json!({"only": "missed", "pace_per_s": 5})).await;
        assert_eq!((&running["state"], &running["count"]), (&json!("running"), &json!(40)));
        let id = running["id"].clone();
        replay_that(&server.api, "has begun", &id, |replay| replay["made"].as_u64() > Some(1)).await;
        let path = format!("replays/{}/stop", id.as_str().unwrap());
        let stopped = server.api.post(&path, &json!({})).await.expect(200).json();
        assert_eq!(stopped["state"], "stopped");
        let made = usize::try_from(stopped["made"].as_u64().unwrap()).unwrap();
        assert!(made < 40, "{stopped}");
        assert_eq!(server.api.post(&path, &json!({})).await.problem().0, 409);
        // What was made goes on; of the rest nothing is there.
        assert_eq!(receiver.wait(made).await.len(), made);
        let query = format!("webhook_id={}", webhook.id);
        let deliveries = server.api.deliveries(&query).await;
        assert_eq!(deliveries.iter().filter(|delivery| delivery.state != "missed").count(), made);
        assert_eq!(plan(&server.api, &webhook, json!({"only": "missed"})).await["count"], 40 - made);
    }

    async fn a_replay_to_a_webhook_that_is_switched_off_fails_and_says_so(server: TestServer) {
        let receiver = Receiver::start().await.ignore_rest();
        let webhook = with_missed(&server.api, &receiver, 10).await;
        let running = replay(&server.api, &webhook, &json!({"only": "missed", "pace_per_s": 1})).await;
        server.api.disable(&webhook).await;
        let failed = replay_that(&server.api, "failed", &running["id"], |replay| replay["state"] == "failed").await;
        assert!(failed["error"].as_str().unwrap().contains("disabled"), "{failed}");
        let path = format!("webhooks/{}/replay", webhook.id);
        assert_eq!(server.api.post(&path, &json!({"only": "missed"})).await.problem().0, 409);
        server.api.deliveries(&format!("webhook_id={}", webhook.id)).await;
    }

    async fn a_paced_replay_goes_on_after_a_kill_and_sends_each_event_once(database: Database) {
        const EVENTS: usize = 300;
        let receiver = Receiver::start().await;
        let mut server = BinaryServer::start(database).await;
        let webhook = with_missed(&server.api, &receiver, EVENTS).await;
        let running = replay(&server.api, &webhook, &json!({"only": "missed", "pace_per_s": 60})).await;
        let id = running["id"].clone();
        replay_that(&server.api, "is under way", &id, |replay| replay["made"].as_u64() > Some(60)).await;
        server.kill();
        server.start_again().await;
        let going = server.api.get(&format!("replays/{}", id.as_str().unwrap())).await.expect(200).json();
        assert!(going["made"].as_u64().unwrap() < 300, "it was still under way: {going}");
        let done = replay_that(&server.api, "is done", &id, |replay| replay["state"] == "done").await;
        assert_eq!((&done["made"], &done["total"]), (&json!(EVENTS), &json!(EVENTS)));
        let query = format!("webhook_id={}&state=delivered", webhook.id);
        let delivered = eventually("all are delivered", async || {
            Some(server.api.deliveries(&query).await).filter(|delivered| delivered.len() >= EVENTS)
        })
        .await;
        let events: HashSet<_> = delivered.iter().map(|delivery| delivery.event_id.clone()).collect();
        assert_eq!((delivered.len(), events.len()), (EVENTS, EVENTS));
        // An attempt that the kill cut off, one of 16 at once, is made again with the same id.
        let arrived = receiver.requests();
        let ids: HashSet<_> = arrived.iter().map(|request| request.header("webhook-id").unwrap().to_owned()).collect();
        assert_eq!(ids, events);
        assert!(arrived.len() <= EVENTS + 16, "{} arrived", arrived.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_shows_asks_and_follows() {
    let receiver = Receiver::start().await;
    let server = BinaryServer::start(Database::sqlite()).await;
    with_missed(&server.api, &receiver, 120).await;
    let lines = |text: String| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let shown = lines(server.cli(&["replay", "w", "--missed", "--dry-run"]));
    assert_eq!((shown.len(), &shown[0]["count"]), (1, &json!(120)));
    assert!(receiver.requests().is_empty());
    let words = ["replay", "w", "--missed", "--type", "a.odd", "--per-s", "100", "--yes"];
    let shown = lines(server.cli(&words));
    let end = shown.last().unwrap();
    assert_eq!((&end["state"], &end["made"]), (&json!("done"), &json!(60)));
    receiver.wait(60).await;
}
