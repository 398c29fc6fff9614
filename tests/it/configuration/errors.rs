//! Every documented problem can be had: `docs/errors.md` is read, and each code in it is either
//! answered to a request here or named with the reason why no request brings it about.

use std::collections::BTreeSet;

use antar_harness::{Answer, Api, Call, TestServer, on_both_databases, root};
use antar_test_guests::Guest;
use serde_json::{Value, json};

use crate::events::incoming;
use crate::plugins::calls::upload;

/// Codes that speak of the server's own state.
const NOT_BY_REQUEST: [(&str, &str); 7] = [
    (
        "internal",
        "a fault in the server; the tests of `http::error` show that its cause stays inside",
    ),
    ("request_timeout", "a body that takes half a minute"),
    ("answers_unread", "answers that nobody reads: `answers.rs` has some"),
    ("too_many_requests", "much at once; the tests of `events::bodies` send that"),
    ("busy", "the queue of commits is full"),
    ("unavailable", "the database is gone"),
    ("not_ready", "the server starts or stops"),
];

on_both_databases! {
    async fn every_documented_problem_is_answered_to_somebody(server: TestServer) {
        let api = &server.api;
        let mut had: BTreeSet<String> = NOT_BY_REQUEST.iter().map(|(code, _)| (*code).to_owned()).collect();
        for (code, answer) in requests(&server, api).await {
            let problem = answer.json();
            assert_eq!(problem["code"], code, "{problem}");
            assert_eq!(problem["status"], answer.status, "{problem}");
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
            assert_eq!(answer.headers["content-type"], "application/problem+json", "{problem}");
            had.insert(code.to_owned());
        }
        assert_eq!(had, documented());
    }
}

/// The codes in the table of `docs/errors.md`.
fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let codes = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        cells.next()?.parse::<u16>().ok()?;
        Some(cells.next()?.trim_matches('`').to_owned())
    });
    codes.collect()
}

/// An event of 3 MB for 100 webhooks.
async fn too_much_for_its_webhooks(server: &TestServer) -> Answer {
    let api = server.create_tenant("wide").await;
    for number in 0..100 {
        let name = format!("w-{number}");
        let webhook = json!({"name": name, "url": "http://127.0.0.1:9/w", "event_types": ["*"]});
        api.create_webhook(&webhook).await;
    }
    api.post("events", &json!({"type": "a.b", "data": {"long": "x".repeat(3_000_000)}})).await
}

/// A request for each code, and what it is answered.
async fn requests(server: &TestServer, api: &Api) -> Vec<(&'static str, Answer)> {
    let event = json!({"type": "a.b", "data": {}});
    let webhook = |more: Value| {
        let mut webhook =
            json!({"name": "w", "url": "http://127.0.0.1:9/w", "event_types": ["none"]});
        webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        webhook
    };
    let raw = async |method: &str, path: &str, content_type: &str, body: &str| {
        api.call(method, path)
            .header("content-type", content_type)
            .body(body.to_owned())
            .send()
            .await
    };
    api.create_webhook(&webhook(json!({}))).await;
    let json = "application/json";
    let mut had = vec![
        ("malformed_json", raw("POST", "events", json, "{\"type\":").await),
        ("bad_parameter", api.get("deliveries?limit=many").await),
        ("unauthorized", api.with_key(None).get("webhooks").await),
        ("not_found", api.get("webhooks/0199b1c0-7a3e-7d52-9c55-0d8a0c1f2e3d").await),
        ("method_not_allowed", api.delete("preview").await),
        ("name_taken", api.post("webhooks", &webhook(json!({}))).await),
        (
            "conflict",
            api.put("/v1/profiles/standard", &json!({"payload": [{"rest": "data"}]})).await,
        ),
        ("body_too_large", raw("POST", "events", json, &"x".repeat(5 << 20)).await),
        ("too_many_events", api.post("events", &vec![event.clone(); 1_001].into()).await),
        ("unsupported_media_type", raw("POST", "plugins?name=p", "text/plain", "x").await),
        ("invalid", api.post("webhooks", &webhook(json!({"name": "", "event_types": []}))).await),
        ("event_invalid", api.post("events", &json!({"type": "a..b", "data": {}})).await),
        ("fanout_too_large", too_much_for_its_webhooks(server).await),
        (
            "rule_invalid",
            api.post("webhooks", &webhook(json!({"name": "r", "rule": {"a": 1}}))).await,
        ),
        (
            "template_invalid",
            api.post("webhooks", &webhook(json!({"name": "t", "body": "{{#if"}))).await,
        ),
        (
            "address_refused",
            api.post("webhooks", &webhook(json!({"name": "a", "url": "http://169.254.169.254/"})))
                .await,
        ),
        ("plugin_invalid", raw("POST", "plugins?name=p", "application/wasm", "\0asm").await),
    ];
    for (code, scopes, path) in
        [("scope_missing", "read", "webhooks"), ("operator_only", "manage", "/v1/profiles/p")]
    {
        let key = api.create_key(&[scopes]).await;
        let call = if path == "webhooks" { "POST" } else { "PUT" };
        had.push((code, api.with_key(Some(&key)).call(call, path).json(&json!({})).send().await));
    }
    let once = async |body: &Value| {
        api.call("POST", "events").header("idempotency-key", "one").json(body).send().await
    };
    once(&event).await.expect(202);
    had.push(("idempotency_key_reused", once(&json!({"type": "a.c", "data": {}})).await));
    let verify = json!({"kind": "header", "header": "X-Token", "keys": ["token"]});
    let source = json!({"name": "s", "event_type": "a.b", "verify": verify});
    let source = api.post("sources", &source).await.expect(201).json();
    had.push((
        "signature_invalid",
        Call::new("POST", &incoming::url(server, &source)).body("{}").send().await,
    ));
    let strict =
        json!({"name": "a.strict", "schema": {"required": ["n"]}, "schema_mode": "reject"});
    api.post("event-types", &strict).await.expect(201);
    had.push((
        "schema_mismatch",
        api.post("events", &json!({"type": "a.strict", "data": {}})).await,
    ));
    let branch = |name: &str| json!({"properties": {"next": {"$ref": "#"}}, "required": [name]});
    let doubling = json!({"anyOf": [branch("a"), branch("b")]});
    let costly = json!({"name": "a.costly", "schema": doubling, "schema_mode": "reject"});
    api.post("event-types", &costly).await.expect(201);
    let deep = (0..50).fold(json!({"a": 1}), |inner, _| json!({"a": 1, "next": inner}));
    had.push((
        "budget_exceeded",
        api.post("events", &json!({"type": "a.costly", "data": deep})).await,
    ));
    for (code, mode) in [("refused_by_plugin", "fail"), ("intake_plugin_failed", "trap")] {
        let guarded = server.create_tenant(mode).await;
        upload(&guarded, Guest::Hostile).await;
        let plugins = json!([{"plugin": Guest::Hostile.name(), "config": {"mode": mode}}]);
        guarded
            .put(&format!("/v1/tenants/{mode}"), &json!({"intake_plugins": plugins}))
            .await
            .expect(200);
        had.push((code, guarded.post("events", &event).await));
    }
    had
}
