//! Sources: who calls is verified, handshakes are answered, and bodies are understood as they come.

use antar_harness::{Call, Receiver, TestServer, eventually, on_both_databases};
use serde_json::{Value, json};

use super::incoming::{create, text, url};

/// GitHub's own example of a signature.
const SECRET: &str = "It's a Secret to Everybody";
const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

on_both_databases! {
    async fn only_signed_calls_become_events(server: TestServer) {
        let receiver = Receiver::start().await;
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        put_secret(&server, "github", SECRET).await;
        put_secret(&server, "next", "the one after it").await;
        let source = create(&server, json!({
            "name": "github", "event_type": "github.{{headers.X-GitHub-Event}}",
            "verify": {"kind": "hmac", "keys": ["next", "github"], "signature": "{headers.X-Hub-Signature-256}", "prefix": "sha256="},
        }))
        .await;
        let call = |signature: &str, body: &'static str| {
            Call::new("POST", &url(&server, &source))
                .header("x-github-event", "push")
                .header("x-hub-signature-256", signature)
                .body(body)
        };
        call(SIGNATURE, "Hello, World!").send().await.expect(200);
        for (signature, body) in [
            (SIGNATURE, "Hello, World"),
            (&SIGNATURE[7..], "Hello, World!"),
            ("sha256=00", "Hello, World!"),
            ("", "Hello, World!"),
        ] {
            let answer = call(signature, body).send().await.expect(401);
            assert_eq!(answer.problem(), (401, "signature_invalid".to_owned()), "{signature}");
            assert!(!answer.text().contains(SECRET));
        }
        let request = receiver.wait(1).await.remove(0);
        assert_eq!(request.json()["type"], "github.push");
        assert_eq!(request.json()["data"]["body"], "Hello, World!");
    }

    async fn a_secret_that_verifies_is_no_part_of_the_event(server: TestServer) {
        let receiver = Receiver::start().await;
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        put_secret(&server, "token", "very-private").await;
        for (name, verify) in [
            ("header", json!({"kind": "header", "header": "X-Gitlab-Token", "keys": ["token"]})),
            ("query", json!({"kind": "query", "parameter": "token", "keys": ["token"]})),
            ("basic", json!({"kind": "basic", "keys": ["token"]})),
        ] {
            let source = create(&server, json!({"name": name, "event_type": "a.b", "verify": verify})).await;
            let url = url(&server, &source);
            Call::new("POST", &url).body("{}").send().await.expect(401);
            let call = match name {
                "header" => Call::new("POST", &url).header("x-gitlab-token", "very-private"),
                "query" => Call::new("POST", &format!("{url}?a=b&token=very-private")),
                _ => {
                    put_secret(&server, "token", "user:very-private").await;
                    Call::new("POST", &url).header("authorization", "Basic dXNlcjp2ZXJ5LXByaXZhdGU=")
                }
            };
            call.body("{}").send().await.expect(200);
        }
        for request in receiver.wait(3).await {
            assert!(!request.text().contains("private"), "{}", request.text());
        }
    }

    async fn handshakes_are_answered_and_make_no_event(server: TestServer) {
        put_secret(&server, "verify_token", "meatyhamhock").await;
        put_secret(&server, "zoom", "zoom-secret").await;
        let handshakes = json!([
            {"methods": ["GET"], "token": {"at": "{query.hub.verify_token}", "keys": ["verify_token"]},
             "answer": {"body": "{{query.[hub.challenge]}}"}},
            {"when": {"body": {"type": ["url_verification"]}}, "answer": {"body": "{{body.challenge}}"}},
            {"when": {"query": {"validationToken": [{"exists": true}]}},
             "answer": {"content_type": "text/plain", "body": "{{query.validationToken}}"}},
            {"when": {"body": {"event": ["endpoint.url_validation"]}},
             "hmac": {"key": "zoom", "over": "{body.payload.plainToken}"},
             "answer": {"body": r#"{"plainToken": "{{body.payload.plainToken}}", "encryptedToken": "{{hmac}}"}"#}},
            {"methods": ["OPTIONS"], "when": {"headers": {"webhook-request-origin": [{"exists": true}]}},
             "answer": {"headers": {"WebHook-Allowed-Origin": "{{headers.webhook-request-origin}}", "WebHook-Allowed-Rate": "*"}}},
        ]);
        let source = create(&server, json!({"name": "all", "event_type": "a.b", "handshakes": handshakes})).await;
        let url = url(&server, &source);
        let meta = format!("{url}?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=");
        let answer = Call::new("GET", &format!("{meta}meatyhamhock")).send().await.expect(200);
        assert_eq!(answer.text(), "1158201444");
        Call::new("GET", &format!("{meta}wrong")).send().await.expect(401);
        let slack = json!({"token": "x", "challenge": "3eZbrw1a", "type": "url_verification"});
        let answer = Call::new("POST", &url).json(&slack).send().await.expect(200);
        assert_eq!(answer.text(), "3eZbrw1a");
        let graph = format!("{url}?validationToken=Validation%3A%20Testing%20%3Cb%3E");
        let answer = Call::new("POST", &graph).send().await.expect(200);
        assert_eq!(answer.text(), "Validation: Testing <b>");
        assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
        let zoom = json!({"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}});
        let answer = Call::new("POST", &url).json(&zoom).send().await.expect(200).json();
        assert_eq!(answer, json!({
            "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
            // Of `hmac.new(b"zoom-secret", b"qgg8vlvZRS6UYooatFL8Aw", "sha256").hexdigest()` in Python.
            "encryptedToken": "b17f0320a1322a509340a1a835b3d9edbc491f0b0790ed2d20d0604d39dfe922",
        }));
        let answer = Call::new("OPTIONS", &url).header("webhook-request-origin", "emitter.example").send().await.expect(200);
        assert_eq!(answer.header("webhook-allowed-origin"), Some("emitter.example"));
        assert_eq!(server.api.list("events").await.len(), 0);
        // Any other call is an event.
        Call::new("POST", &url).json(&json!({"type": "message"})).send().await.expect(200);
        assert_eq!(server.api.list("events").await.len(), 1);
    }

    async fn methods_that_make_events_are_a_list(server: TestServer) {
        let by_default = create(&server, json!({"name": "default", "event_type": "a.b"})).await;
        for (method, status) in [("POST", 200), ("PUT", 200), ("PATCH", 200), ("GET", 200), ("DELETE", 405)] {
            let answer = Call::new(method, &url(&server, &by_default)).send().await.expect(status);
            if status == 405 {
                assert_eq!(answer.header("allow"), Some("GET, POST, PUT, PATCH"));
            }
        }
        server.api.put("/v1/profiles/plain", &json!({"payload": [{"rest": "data"}]})).await.expect(201);
        let plain = create(&server, json!({"name": "plain", "event_type": "a.b", "profile": "plain"})).await;
        Call::new("POST", &url(&server, &plain)).send().await.expect(200);
        Call::new("GET", &url(&server, &plain)).send().await.expect(405);
        let own = create(&server, json!({"name": "own", "event_type": "a.b", "methods": ["GET"]})).await;
        Call::new("GET", &url(&server, &own)).send().await.expect(200);
        Call::new("POST", &url(&server, &own)).send().await.expect(405);
        let refused = server.api.post("sources", &json!({"name": "x", "event_type": "a.b", "methods": ["get"]})).await;
        refused.expect(422);
    }

    async fn an_answer_is_a_template_over_the_call(server: TestServer) {
        let source = create(&server, json!({
            "name": "twilio", "event_type": "twilio.message",
            "answer": {"status": 201, "content_type": "text/xml", "headers": {"X-For": "{{body.From}}"},
                       "body": "<Response><Message>{{body.Body}}</Message></Response>"},
        }))
        .await;
        let answer = Call::new("POST", &url(&server, &source))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("From=%2B62811&Body=a+%3C+b")
            .send()
            .await
            .expect(201);
        assert_eq!(answer.text(), "<Response><Message>a &lt; b</Message></Response>");
        assert_eq!((answer.header("content-type"), answer.header("x-for")), (Some("text/xml"), Some("+62811")));
    }

    async fn bodies_are_understood_however_they_are_sent(server: TestServer) {
        let receiver = Receiver::start().await;
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        let source = create(&server, json!({
            "name": "s", "event_type": "a.{{headers.X-Case}}", "body": {"json_fields": ["payload"]},
        }))
        .await;
        let multipart = "--b\r\nContent-Disposition: form-data; name=\"subject\"\r\n\r\nHello\r\n\
            --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\x01\x02\x03\r\n--b--\r\n";
        let object = json!({"a": 1});
        for (number, (case, content_type, body, expected)) in [
            ("upper", "Application/JSON; Charset=UTF-8", r#"{"a": 1}"#.as_bytes(), object.clone()),
            ("suffix", "application/vnd.api+json", br#"{"a": 1}"#, object.clone()),
            ("text", "text/json", br#"{"a": 1}"#, object.clone()),
            ("mark", "application/json", b"\xef\xbb\xbf{\"a\": 1}", object.clone()),
            ("form", "Application/X-WWW-Form-Urlencoded", b"a=1&payload=%7B%22a%22%3A1%7D", json!({"a": "1", "payload": {"a": 1}})),
            ("multipart", "multipart/form-data; boundary=b", multipart.as_bytes(),
             json!({"subject": "Hello", "file": {"name": "a.png", "type": "image/png", "size": 3}})),
            ("xml", "application/xml", b"<a/>", json!("<a/>")),
            ("plain", "text/plain", br#"{"a": 1}"#, json!(r#"{"a": 1}"#)),
        ]
        .into_iter()
        .enumerate()
        {
            Call::new("POST", &url(&server, &source))
                .header("X-Case", case)
                .header("content-type", content_type)
                .body(body.to_vec())
                .send()
                .await
                .expect(200);
            let request = receiver.wait(number + 1).await.remove(number);
            assert_eq!(request.json()["type"], format!("a.{case}"));
            assert_eq!(request.json()["data"]["body"], expected, "{case}");
        }
    }

    async fn compressed_bodies_are_inflated_within_a_bound(server: TestServer) {
        let receiver = Receiver::start().await;
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        let source = create(&server, json!({"name": "s", "event_type": "a.b", "data": "body"})).await;
        let call = |coding: &str, body: Vec<u8>| {
            Call::new("POST", &url(&server, &source))
                .header("content-type", "application/json")
                .header("content-encoding", coding)
                .body(body)
        };
        let zstd = zstd::encode_all(&br#"{"a": 1}"#[..], 3).unwrap();
        call("ZSTD", zstd.clone()).send().await.expect(200);
        assert_eq!(receiver.wait(1).await[0].json()["data"], json!({"a": 1}));
        call("compress", zstd).send().await.expect(415);
        call("zstd", b"no such thing".to_vec()).send().await.expect(400);
        let bomb = zstd::encode_all(&vec![b' '; 64 << 20][..], 3).unwrap();
        assert!(bomb.len() < 64 << 10);
        call("zstd", bomb).send().await.expect(413);
    }

    async fn mistakes_of_a_source_are_named(server: TestServer) {
        let warnings = |source: &Value| {
            let all = source["warnings"].as_array().cloned().unwrap_or_default();
            all.into_iter().map(|w| (text(&w, "pointer"), w["suggestion"].clone())).collect::<Vec<_>>()
        };
        let source = create(&server, json!({
            "name": "a", "event_type": "a.{{heders.x-kind}}", "event_id": "{{body.id}}", "data": "bdy",
        }))
        .await;
        assert_eq!(warnings(&source), [
            ("/event_type".to_owned(), json!("headers.x-kind")),
            ("/data".to_owned(), json!("body")),
        ]);
        let source = create(&server, json!({"name": "b", "event_type": "a.b", "data": "body", "split": "body.items"})).await;
        assert_eq!(warnings(&source), [("/data".to_owned(), Value::Null)]);
        let source = create(&server, json!({"name": "c", "event_type": "a.b", "data": "headers.X-Data", "event_id": "{{headers.[X-Id]}}"})).await;
        assert_eq!(warnings(&source), []);
        let source = create(&server, json!({"name": "d", "event_type": "a.b", "data": "body"})).await;
        let broken = Call::new("POST", &url(&server, &source)).header("content-type", "application/json").body("{\"a\": 1,\n}");
        let answer = broken.send().await.expect(422).json();
        let detail = answer["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("no JSON") && detail.contains("line 2"), "{detail}");
        Call::new("POST", &url(&server, &source)).send().await.expect(200);
    }

    async fn what_was_refused_is_kept_and_sent_in_again(server: TestServer) {
        put_secret(&server, "token", "very-private").await;
        let source = create(&server, json!({
            "name": "s", "event_type": "a.{{body.kind}}", "data": "body.event",
            "verify": {"kind": "header", "header": "X-Token", "keys": ["token"]},
        }))
        .await;
        let url = url(&server, &source);
        let call = |token: &str| {
            Call::new("POST", &format!("{url}?n=1")).header("x-token", token).json(&json!({"kind": "b", "evnt": {"n": 1}}))
        };
        call("very-private").send().await.expect(422);
        call("wrong").send().await.expect(401);
        server.api.post("events", &json!({"type": "a b", "data": {}})).await.expect(422);
        let kept = eventually("three rejections", async || {
            let rows = server.api.list("rejections").await;
            (rows.len() == 3).then_some(rows)
        })
        .await;
        let codes: Vec<_> = kept.iter().map(|row| text(row, "code")).collect();
        assert_eq!(codes, ["event_invalid", "signature_invalid", "invalid"], "newest first");
        assert_eq!(kept[2]["errors"][0]["pointer"], "/body/event");
        let of_source = server.api.list(&format!("rejections?source_id={}", text(&source, "id"))).await;
        assert_eq!(of_source.len(), 2);
        let id = text(&kept[2], "id");
        let shown = server.api.get(&format!("rejections/{id}")).await.expect(200);
        assert!(!shown.text().contains("private") && !shown.text().contains(&text(&source, "secret")), "{}", shown.text());
        assert_eq!(shown.json()["query"], "n=1");
        assert!(shown.json()["body"].as_str().unwrap().contains("evnt"));
        // Until the mistake is mended it is refused again.
        server.api.post(&format!("rejections/{id}/retry"), &json!({})).await.expect(422);
        server.api.patch(&format!("sources/{}", text(&source, "id")), &json!({"data": "body.evnt"})).await.expect(200);
        server.api.post(&format!("rejections/{id}/retry"), &json!({})).await.expect(200);
        let events = server.api.list("events?include=data").await;
        assert_eq!((events.len(), &events[0]["data"], &events[0]["type"]), (1, &json!({"n": 1}), &json!("a.b")));
        assert_eq!(server.api.list("rejections").await.len(), 2);
        let other = server.create_tenant("other").await;
        other.get(&format!("rejections/{}", text(&kept[0], "id"))).await.expect(404);
        other.post(&format!("rejections/{}/retry", text(&kept[0], "id")), &json!({})).await.expect(404);
        server.api.delete(&format!("rejections/{}", text(&kept[0], "id"))).await.expect(204);
        assert_eq!(server.api.list("rejections").await.len(), 1);
    }

    async fn one_bad_element_does_not_spoil_a_batch(server: TestServer) {
        let source = create(&server, json!({
            "name": "s", "event_type": "a.{{element.kind}}", "event_id": "{{element.id}}", "split": "body.items",
        }))
        .await;
        let items = json!({"items": [{"kind": "x", "id": "1"}, 7, {"kind": "y", "id": "2"}]});
        Call::new("POST", &url(&server, &source)).json(&items).send().await.expect(200);
        let mut events: Vec<_> =
            server.api.list("events").await.iter().map(|e| format!("{} {}", text(e, "id"), text(e, "type"))).collect();
        events.sort_unstable();
        assert_eq!(events, ["1 a.x", "2 a.y"]);
        let none = json!({"items": [1, "two"]});
        Call::new("POST", &url(&server, &source)).json(&none).send().await.expect(422);
    }
}

async fn put_secret(server: &TestServer, name: &str, value: &str) {
    let answer = server.api.put(&format!("secrets/{name}"), &json!({"value": value})).await;
    assert!(answer.status < 300, "{}", answer.text());
}
