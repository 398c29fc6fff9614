//! Templates in body, URL and headers: whatever stands in an event, the request stays whole.

use antar_harness::{Receiver, TestServer, on_both_databases};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// Random events a test sends. The template engine's own tests try many more.
const EVENTS: usize = 60;

on_both_databases! {
    async fn a_sample_that_can_not_be_rendered_stops_a_save(server: TestServer) {
        let webhook = |data: Value| {
            json!({"name": "w", "event_types": ["a.*"], "unresolved": "fail",
                "url": "https://crm.example/x", "body": "{\"a\": 1,\n  \"mail\": {{data.mail}}}",
                "sample": {"event_type": "a.b", "data": data}})
        };
        let refused = server.api.post("webhooks", &webhook(json!({"name": "Ann"}))).await;
        assert_eq!(refused.problem(), (422, "template_invalid".to_owned()));
        let error = refused.json()["errors"][0].clone();
        assert_eq!((&error["pointer"], &error["line"], &error["column"]), (&json!("/body"), &json!(2), &json!(11)), "{error}");
        assert!(error["detail"].as_str().unwrap().contains("with the sample: {{data.mail}}"), "{error}");
        let good = webhook(json!({"mail": "a@b.example"}));
        let saved = server.api.post("webhooks", &good).await.expect(201).json();
        assert!(saved.get("sample").is_none(), "{saved}");
        let path = format!("webhooks/{}", saved["id"].as_str().unwrap());
        let refused = server.api.patch(&path, &json!({"sample": {"event_type": "a.b", "data": {}}})).await;
        assert_eq!(refused.problem().1, "template_invalid");
        let change = json!({"url": "https://crm.example/{{data.n}}", "sample": {"event_type": "a.b", "data": {"mail": "m"}}});
        let refused = server.api.patch(&path, &change).await;
        assert_eq!(refused.problem().1, "template_invalid");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/url");
        assert_eq!(server.api.get(&path).await.expect(200).json()["revision"], 1, "nothing was saved");
        let wrong = server.api.put(&path, &webhook(json!([1]))).await;
        assert_eq!(wrong.json()["errors"][0]["pointer"], "/sample/data", "{}", wrong.text());
    }

    async fn a_secret_that_is_not_there_is_pointed_out_in_the_template(server: TestServer) {
        server.api.put("secrets/crm_key", &json!({"value": "v"})).await;
        let webhook = json!({"name": "w", "event_types": ["*"], "url": "https://crm.example/x",
            "body": "{\"a\": 1,\n  \"key\": \"{{antar.secret.crm_kay}}\"}"});
        let refused = server.api.post("webhooks", &webhook).await;
        assert_eq!(refused.problem(), (422, "template_invalid".to_owned()));
        let error = refused.json()["errors"][0].clone();
        assert_eq!((&error["pointer"], &error["line"], &error["column"]), (&json!("/body"), &json!(2), &json!(11)), "{error}");
        assert_eq!(error["suggestion"], "crm_key");
    }

    async fn any_string_arrives_unchanged_and_nothing_else_is_injected(server: TestServer) {
        let receiver = Receiver::start().await;
        server
            .api
            .create_webhook(&json!({
                "name": "w", "event_types": ["*"], "method": "PUT",
                "url": receiver.url("/p/{{data.n}}/{{data.text}}?q={{data.text}}"),
                "headers": {"X-Text": "{{data.text}}", "X-Last": "last"},
                "body": r#"{"inside": "<{{data.text}}>", "alone": "{{data.text}}", "value": {{data.text}}, "n": {{data.n}}}"#,
            }))
            .await;
        let texts = hostile_texts();
        let events: Vec<Value> = texts
            .iter()
            .enumerate()
            .map(|(n, text)| json!({"type": "a.b", "data": {"n": n, "text": text}}))
            .collect();
        server.api.post("events", &events.into()).await.expect(202);
        for request in receiver.wait(texts.len()).await {
            let body = request.json();
            let text = &texts[body["n"].as_u64().unwrap() as usize];
            assert_eq!(body["alone"], text.as_str());
            assert_eq!(body["value"], text.as_str());
            assert_eq!(body["inside"], format!("<{text}>"));
            assert_eq!(body.as_object().unwrap().len(), 4);
            assert_eq!(request.header("x-last"), Some("last"));
            let shown = one_space_for_controls(text);
            assert_eq!(request.header("x-text"), Some(shown.trim_matches([' ', '\t'])));
            let (path, query) = request.target.split_once('?').unwrap();
            assert_eq!(path.split('/').count(), 4, "{path}");
            assert_eq!(decode(path.rsplit('/').next().unwrap()), *text);
            assert_eq!(decode(query.strip_prefix("q=").unwrap()), *text);
        }
    }

    async fn unresolved_in_all_four_ways(server: TestServer) {
        let receiver = Receiver::start().await;
        let body = r#"{"a": "{{data.gone}}", "b": {{data.gone}}, "c": "x{{data.gone}}y", "d": [1, "{{data.gone}}", 2]}"#;
        for unresolved in ["literal", "empty", "omit", "fail"] {
            let webhook = json!({
                "name": unresolved, "url": receiver.url(&format!("/{unresolved}")), "event_types": ["*"],
                "unresolved": unresolved, "body": body, "headers": {"X-Gone": "{{data.gone}}"},
                "retry": {"attempts_max": 1},
            });
            server.api.create_webhook(&webhook).await;
        }
        let event_id = server.api.send(&json!({"type": "a.b", "data": {"here": 1}})).await;
        receiver.wait(3).await;
        let body = |name: &str| receiver.at(&format!("/{name}"))[0].json();
        let token = "{{data.gone}}";
        assert_eq!(body("literal"), json!({"a": token, "b": token, "c": format!("x{token}y"), "d": [1, token, 2]}));
        assert_eq!(body("empty"), json!({"a": "", "b": null, "c": "xy", "d": [1, "", 2]}));
        assert_eq!(body("omit"), json!({"c": "xy", "d": [1, 2]}));
        assert_eq!(receiver.at("/omit")[0].header("x-gone"), None);
        let failed = server.api.delivery_in("failed", &format!("event_id={event_id}&state=failed")).await;
        assert!(failed.reason.as_deref().unwrap().contains("data.gone"), "{failed:?}");
    }

    async fn a_broken_template_is_refused_with_line_column_and_cause(server: TestServer) {
        let webhook = json!({"name": "w", "url": "http://127.0.0.1:9/w", "event_types": ["*"], "body": "{\n  \"a\": {{data.x\n}"});
        let answer = server.api.post("webhooks", &webhook).await.expect(422);
        assert_eq!(answer.problem(), (422, "template_invalid".to_owned()));
        let error = &answer.json()["errors"][0];
        assert_eq!((error["pointer"].as_str(), error["line"].as_u64()), (Some("/body"), Some(2)), "{error}");
        assert!(error["column"].is_u64() && error["detail"].is_string(), "{error}");
    }

    async fn a_template_that_may_not_stay_json_is_refused(server: TestServer) {
        let bodies = [r#"{"a": {{#if data.x}}1{{/if}}}"#, r#"{"a": {{data.x}}{{data.y}}}"#, r#"{{{data.x}}}"}"#];
        for body in bodies {
            let webhook = json!({
                "name": "w", "url": "http://127.0.0.1:9/w", "event_types": ["*"], "body": body,
                "headers": {"Content-Type": "application/json"},
            });
            assert_eq!(server.api.post("webhooks", &webhook).await.problem().0, 422, "{body}");
        }
    }

    async fn a_variable_host_needs_an_allow_list(server: TestServer) {
        let webhook = |more: Value| {
            let mut webhook = json!({"name": "w", "url": "http://{{data.host}}/w", "event_types": ["*"]});
            webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            webhook
        };
        assert_eq!(server.api.post("webhooks", &webhook(json!({}))).await.problem().0, 422);
        server.api.post("webhooks", &webhook(json!({"hosts_allowed": ["crm.example"]}))).await.expect(201);
    }
}

/// Strings that break what is put together from text, and random ones.
fn hostile_texts() -> Vec<String> {
    let known = [
        "\"",
        "\\",
        "\\\"",
        "\",\"x\":\"",
        "\u{2028}\u{2029}",
        "\r\nX-Evil: 1",
        "\n",
        "\0",
        "{{data.n}}",
        "}}",
        "null",
        "a/b",
        "../../x",
        "?a=b#c",
        "%2e%2e",
        "😀",
        "é",
        "\u{7f}",
        "://evil.example/",
        "@evil.example",
        "\u{feff}x",
    ];
    let mut runner = TestRunner::deterministic();
    let strategy = proptest::string::string_regex("(?s).{1,40}").unwrap();
    let random = std::iter::from_fn(|| Some(strategy.new_tree(&mut runner).unwrap().current()));
    // A path segment of dots alone fails, as it should; the template engine's tests show it.
    let random = random.filter(|text| !text.chars().all(|c| c == '.')).take(EVENTS - known.len());
    known.into_iter().map(str::to_owned).chain(random).collect()
}

/// What a header makes of a text: a run of control characters is one space.
fn one_space_for_controls(text: &str) -> String {
    let mut out = String::new();
    let mut in_run = false;
    for c in text.chars() {
        if !c.is_control() {
            out.push(c);
        } else if !in_run {
            out.push(' ');
        }
        in_run = c.is_control();
    }
    out
}

/// Percent-decodes, as a receiver would.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if bytes[at] == b'%' {
            out.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap());
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap()
}
