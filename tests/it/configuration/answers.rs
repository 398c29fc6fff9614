//! Answers hold a bounded number of bytes, however much there is to answer and whoever reads it.

use antar_harness::{Api, Database, Receiver, Reply, TestServer, eventually, on_both_databases};
use serde_json::{Value, json};

/// Bytes in one page.
const PAGE_BYTES: usize = 200_000;
/// Bytes of each large thing.
const LARGE: usize = 60_000;

fn text(of: &str) -> String {
    format!("{of}{}", "x".repeat(LARGE))
}

/// All rows of a list. Asserts that pages are bounded, and that there is more than one.
async fn bounded(api: &Api, path: &str) -> Vec<Value> {
    let joint = if path.contains('?') { '&' } else { '?' };
    let (mut rows, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let answer = api.get(&format!("{path}{joint}limit=200{cursor}")).await.expect(200);
        // The cursor and the brackets come on top.
        assert!(answer.body.len() < PAGE_BYTES + 200, "{path}: {} bytes", answer.body.len());
        let page = answer.json();
        let data = page["data"].as_array().unwrap();
        assert!(!data.is_empty() || rows.is_empty(), "{path}: an empty page in between");
        rows.extend(data.iter().cloned());
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(pages > 1, "{path}: {} rows in one page", rows.len());
    rows
}

fn names(rows: &[Value], member: &str) -> Vec<String> {
    rows.iter().map(|row| row[member].to_string().trim_matches('"').to_owned()).collect()
}

async fn server(database: Database) -> TestServer {
    let small = |config: &mut antar::config::Config| config.tenant.page_bytes_max = PAGE_BYTES;
    database.server().config(small).ignore_unseen_deliveries().start().await
}

on_both_databases! {
    async fn a_page_of_large_events_is_bounded(database: Database) {
        let server = server(database).await;
        let api = &server.api;
        for n in 0..8 {
            let event = json!({"type": "a.b", "id": format!("e-{n}"), "attributes": {"n": n.to_string()},
                "data": {"text": text(&n.to_string())}});
            api.send(&event).await;
        }
        let rows = bounded(api, "events?include=data").await;
        assert_eq!(names(&rows, "id"), (0..8).rev().map(|n| format!("e-{n}")).collect::<Vec<_>>());
        assert_eq!(rows[0]["data"]["text"], text("7"));
        assert_eq!(rows[0]["attributes"], json!({"n": "7"}));
        // Without their data they are one small page.
        let page = api.get("events?limit=200").await.expect(200);
        assert!(page.body.len() < 4_000, "{} bytes", page.body.len());
        let page = page.json();
        assert_eq!((page["data"].as_array().unwrap().len(), &page["next_cursor"]), (8, &Value::Null));
        assert!(page["data"][0].get("data").is_none() && page["data"][0]["data_kept"] == true);
        assert_eq!(api.get("events?include=all").await.problem().1, "bad_parameter");
        let one = api.get("events/e-3").await.expect(200).json();
        assert_eq!(one["data"]["text"], text("3"));
    }

    async fn pages_of_all_that_is_configured_are_bounded(database: Database) {
        let server = server(database).await;
        let api = &server.api;
        let url = "http://127.0.0.1:9/w";
        for n in 0..6 {
            let kind = json!({"name": format!("a.t{n}"), "description": text("")});
            api.post("event-types", &kind).await.expect(201);
            api.put(&format!("/v1/event-types/b.t{n}"), &json!({"description": text("")})).await.expect(201);
            let profile = json!({"payload": [{"rest": "data"}], "description": text("")});
            api.put(&format!("/v1/profiles/p{n}"), &profile).await.expect(201);
            let body = json!({"text": text(&n.to_string())}).to_string();
            let mut webhook = json!({"name": format!("w{n}"), "url": url, "event_types": ["none.t"], "body": body});
            let id = api.create_webhook(&webhook).await.id;
            if n == 5 {
                for revision in 0..6 {
                    webhook["body"] = json!({"text": text(&revision.to_string())}).to_string().into();
                    api.put(&format!("webhooks/{id}"), &webhook).await.expect(200);
                }
                let revisions = bounded(api, &format!("webhooks/{id}/revisions")).await;
                assert_eq!(names(&revisions, "revision"), ["7", "6", "5", "4", "3", "2", "1"]);
            }
        }
        let six = |letter: &str| (0..6).map(|n| format!("{letter}{n}")).collect::<Vec<_>>();
        assert_eq!(names(&bounded(api, "webhooks").await, "name"), six("w"));
        let types = names(&bounded(api, "event-types").await, "name");
        assert_eq!(types, [six("a.t"), six("b.t")].concat());
        assert_eq!(names(&bounded(api, "/v1/event-types").await, "name"), six("b.t"));
        let profiles = names(&bounded(api, "/v1/profiles").await, "name");
        assert_eq!(profiles, [six("p"), vec!["standard".to_owned()]].concat());
    }

    async fn pages_of_attempts_are_bounded(database: Database) {
        const ATTEMPTS: usize = 7;
        let server = server(database).await;
        let receiver = Receiver::start().await.ignore_rest();
        receiver.reply(Reply::status(500));
        let retry = json!({"attempts_max": 1});
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"], "retry": retry});
        server.api.create_webhook(&webhook).await;
        server.api.send(&json!({"type": "a.b", "data": {"text": text("")}})).await;
        let mut delivery = server.api.delivery_in("failed", "").await;
        for number in 2..=ATTEMPTS {
            server.api.post(&format!("deliveries/{}/retry", delivery.id), &json!({})).await.expect(202);
            let number = u64::try_from(number).unwrap();
            let again = |d: &antar_harness::Delivery| d.state == "failed" && d.attempts == number;
            delivery = server.api.delivery_that("has failed again", "", again).await;
        }
        let attempts = bounded(&server.api, &format!("deliveries/{}/attempts", delivery.id)).await;
        assert_eq!(names(&attempts, "number"), (1..=ATTEMPTS).map(|n| n.to_string()).collect::<Vec<_>>());
        for attempt in &attempts {
            assert!(attempt["request"]["body"].as_str().unwrap().len() > LARGE);
            assert_eq!(attempt["response"]["status"], 500);
        }
    }
}

/// A page that is larger than what the system takes for a caller that does not read.
const UNREAD: &str = "events?include=data&limit=12";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_answers_gets_no_more_of_them_and_loses_the_connection() {
    let server = Database::sqlite().server().config(|config| {
        config.tenant.page_bytes_max = 20 << 20;
        config.tenant.answer_bytes_max = 20 << 20;
        config.server.write_timeout_ms = 4_000;
    });
    let server = server.start().await;
    let stalling = server.create_tenant("stalling").await;
    let other = server.create_tenant("other").await;
    let long = "x".repeat(1 << 20);
    for api in [&stalling, &other] {
        for _ in 0..12 {
            api.send(&json!({"type": "a.b", "data": {"long": long}})).await;
        }
    }
    let mut unread = stalling.open(UNREAD).await;
    unread.until("HTTP/1.1 200").await;
    let refused = stalling.get(UNREAD).await;
    assert_eq!(refused.problem(), (429, "answers_unread".to_owned()));
    assert!(refused.text().contains("tenant.answer_bytes_max"), "{}", refused.text());
    assert!(refused.headers.contains_key("retry-after"));
    // Small answers, and the answers to others, are none of its business.
    stalling.get("events").await.expect(200);
    other.get(UNREAD).await.expect(200);
    // What has happened is told all the same.
    stalling.send(&json!({"type": "a.b", "data": {}})).await;
    eventually("the connection is closed and the answer forgotten", async || {
        (stalling.get(UNREAD).await.status == 200).then_some(())
    })
    .await;
    let taken = unread.to_end().await;
    assert!(taken.len() < 12 << 20, "{}", taken.len());
}
