//! The retry schedules of the profiles on a clock that the test moves: to the second.

use std::time::Duration;

use antar_harness::{Api, Database, Receiver, Reply, TestServer, Webhook, on_both_databases};
use serde_json::{Value, json};

/// What the platforms' pages, or their profiles, promise: waits in seconds between attempts.
const SCHEDULES: &[(&str, &[u64])] = &[
    ("chatthing", &[30, 60, 120, 240]),
    ("sahut", &[5, 30, 120, 600, 1_800]),
    ("cekat", &[5, 30, 120, 600, 1_800]),
    ("carik", &[5, 30, 120, 600, 1_800]),
    ("caleida", &[5, 30, 120, 600, 1_800]),
    ("standard", &[5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]),
];

on_both_databases! {
    async fn every_profile_retries_to_the_second_and_then_gives_up(database: Database) {
        let server = database.server().manual_clock().start().await;
        server.apply_platforms().await;
        for (profile, waits_s) in SCHEDULES {
            let receiver = Receiver::start().await;
            receiver.reply(Reply::status(500));
            let api = server.create_tenant(&format!("{profile}-tenant")).await;
            let webhook = refusing_webhook(&api, &receiver, json!({"profile": profile, "retry": {"jitter": 0}})).await;
            follow(&server, &api, &receiver, &webhook, waits_s).await;
        }
    }

    async fn a_schedule_shorter_than_its_attempts_repeats_its_last_wait(database: Database) {
        let server = database.server().manual_clock().start().await;
        let receiver = Receiver::start().await;
        receiver.reply(Reply::status(503));
        let retry = json!({"retry": {"schedule_s": [2, 7], "attempts_max": 5, "jitter": 0}});
        let webhook = refusing_webhook(&server.api, &receiver, retry).await;
        follow(&server, &server.api, &receiver, &webhook, &[2, 7, 7, 7]).await;
    }

    async fn jitter_stays_within_its_share(database: Database) {
        let server = database.server().manual_clock().ignore_unseen_deliveries().start().await;
        let receiver = Receiver::start().await;
        receiver.reply(Reply::status(500));
        let retry = json!({"retry": {"schedule_s": [1000], "attempts_max": 2, "jitter": 0.1}});
        let webhook = refusing_webhook(&server.api, &receiver, retry).await;
        let mut waits_ms = Vec::new();
        for number in 0..20 {
            let event_id = server.api.send(&json!({"type": "a.b", "data": {"n": number}})).await;
            let query = format!("event_id={event_id}&webhook_id={}", webhook.id);
            let delivery = server.api.delivery_that("waits", &query, |d| d.attempts == 1 && d.state == "pending").await;
            waits_ms.push(millis(&delivery.next_attempt_at.unwrap()) - server.clock().now().0);
        }
        assert!(waits_ms.iter().all(|wait| (900_000..=1_100_000).contains(wait)), "{waits_ms:?}");
        assert!(waits_ms.iter().any(|wait| *wait != waits_ms[0]), "jitter spreads: {waits_ms:?}");
        receiver.wait(20).await;
    }
}

async fn refusing_webhook(api: &Api, receiver: &Receiver, more: Value) -> Webhook {
    let mut webhook =
        json!({"name": "w", "enabled": true, "event_types": ["*"], "url": receiver.url("/w")});
    webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    api.create_webhook(&webhook).await
}

/// Posts an event to a webhook whose receiver refuses, and sees each wait to the millisecond, and
/// the end.
async fn follow(
    server: &TestServer,
    api: &Api,
    receiver: &Receiver,
    webhook: &Webhook,
    waits_s: &[u64],
) {
    let event_id = api.send(&json!({"type": "a.b", "data": {}})).await;
    let query = format!("event_id={event_id}&webhook_id={}", webhook.id);
    for (index, wait_s) in waits_s.iter().enumerate() {
        let made = index as u64 + 1;
        receiver.wait(index + 1).await;
        let delivery = api
            .delivery_that("waits for its next attempt", &query, |d| {
                d.attempts == made && d.state == "pending"
            })
            .await;
        let due = millis(&delivery.next_attempt_at.unwrap());
        assert_eq!(
            due - server.clock().now().0,
            *wait_s as i64 * 1_000,
            "wait {made} of {waits_s:?}"
        );
        // A second short of it nothing is sent: the time of the attempt, looked at below, shows it.
        server.advance(Duration::from_secs(wait_s - 1));
        server.advance(Duration::from_secs(1));
    }
    let delivery = api.delivery_in("failed", &query).await;
    assert_eq!(delivery.attempts, waits_s.len() as u64 + 1);
    let requests = receiver.wait(waits_s.len() + 1).await;
    assert!(
        requests.iter().all(|request| request.body == requests[0].body),
        "the same bytes each time"
    );
    let started: Vec<i64> = api
        .attempts(&delivery)
        .await
        .iter()
        .map(|attempt| millis(attempt["started_at"].as_str().unwrap()))
        .collect();
    let gaps: Vec<i64> = started.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let wanted: Vec<i64> = waits_s.iter().map(|wait_s| *wait_s as i64 * 1_000).collect();
    assert_eq!(gaps, wanted);
}

fn millis(text: &str) -> i64 {
    antar::model::Millis::parse(text).unwrap().0
}
