//! Webhooks as resources: made, changed, tested, reverted.

use antar_harness::{Receiver, Reply, TestServer, on_both_databases};
use serde_json::{Value, json};

on_both_databases! {
    async fn created_read_changed_listed_deleted(server: TestServer) {
        let api = &server.api;
        let made = api.create_webhook(&json!({"name": "w", "url": "http://127.0.0.1:9/w", "event_types": ["a.*"]})).await;
        let path = format!("webhooks/{}", made.id);
        let read = api.get(&path).await.expect(200).json();
        assert_eq!((&read["name"], &read["enabled"], &read["method"]), (&json!("w"), &json!(true), &json!("POST")));
        assert!(read.get("secret").is_none_or(|secret| secret.is_null()), "{read}");
        let changed = api.patch(&path, &json!({"method": "PUT", "headers": {"X-A": "b"}})).await.expect(200).json();
        assert_eq!((&changed["method"], &changed["url"]), (&json!("PUT"), &read["url"]));
        assert_eq!(api.list("webhooks").await.len(), 1);
        let unknown = api.patch(&path, &json!({"methd": "PUT"})).await;
        assert_eq!(unknown.problem().0, 422);
        api.delete(&path).await.expect(204);
        assert_eq!(api.get(&path).await.problem().0, 404);
    }

    async fn a_name_is_free_once_its_webhook_is_renamed_or_deleted(server: TestServer) {
        let webhook = |name: &str| json!({"name": name, "url": "http://127.0.0.1:9/w", "event_types": ["a.*"]});
        let first = server.api.create_webhook(&webhook("first")).await;
        let second = server.api.create_webhook(&webhook("second")).await;
        let to_first = async |made: &str| {
            server.api.patch(&format!("webhooks/{made}"), &json!({"name": "first"})).await
        };
        assert_eq!(to_first(&second.id).await.problem(), (409, "name_taken".to_owned()));
        to_first(&first.id).await.expect(200);
        server.api.patch(&format!("webhooks/{}", first.id), &json!({"name": "other"})).await.expect(200);
        to_first(&second.id).await.expect(200);
        assert_eq!(to_first(&first.id).await.problem(), (409, "name_taken".to_owned()));
        server.api.delete(&format!("webhooks/{}", second.id)).await.expect(204);
        to_first(&first.id).await.expect(200);
    }

    async fn every_save_is_a_revision_that_can_come_back(server: TestServer) {
        let receiver = Receiver::start().await;
        let made = json!({"name": "w", "url": receiver.url("/one"), "event_types": ["*"]});
        let made = server.api.create_webhook(&made).await;
        let path = format!("webhooks/{}", made.id);
        server.api.patch(&path, &json!({"url": receiver.url("/two")})).await.expect(200);
        assert_eq!(server.api.list(&format!("{path}/revisions")).await.len(), 2);
        server.api.post(&format!("{path}/revert"), &json!({"revision": 1})).await.expect(200);
        server.api.send(&json!({"type": "a.b", "data": {}})).await;
        receiver.wait_at("/one", 1).await;
        assert_eq!(server.api.list(&format!("{path}/revisions")).await.len(), 3);
    }

    async fn a_test_sends_once_with_the_test_header_though_disabled(server: TestServer) {
        server.apply_platforms().await;
        let receiver = Receiver::start().await;
        receiver.reply(Reply::status(418).body("short and stout"));
        let made = json!({"name": "w", "profile": "chatthing", "url": receiver.url("/w"), "event_types": ["conversation.started"]});
        let made = server.api.create_webhook(&made).await;
        assert_eq!(made.json["enabled"], false, "the profile creates webhooks disabled");
        let ask = json!({"event_type": "conversation.started", "data": {"conversation": {"id": "c-1"}}});
        let answer = server.api.post(&format!("webhooks/{}/test", made.id), &ask).await.expect(200).json();
        assert_eq!(answer["response"]["status"], 418);
        assert_eq!(answer["response"]["body"], "short and stout");
        let request = receiver.wait(1).await.remove(0);
        assert_eq!(request.header("x-chatthing-test"), Some("true"));
        assert_eq!(request.json()["conversation"]["id"], "c-1");
        assert!(server.api.deliveries("").await.is_empty(), "a test stores no delivery");
    }

    async fn a_preview_shows_every_stage_and_sends_nothing(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = json!({
            "name": "inline", "url": receiver.url("/{{data.id}}"), "event_types": ["a.*"], "rule": {"data": {"n": [1]}},
            "body": r#"{"id": "{{data.id}}", "gone": "{{data.gone}}"}"#,
        });
        let preview = async |n: u8| {
            let event = json!({"type": "a.b", "data": {"id": "x", "n": n}});
            let answer = server.api.post("preview", &json!({"webhook": webhook, "event": event})).await;
            answer.expect(200).json()
        };
        let stages = |json: &serde_json::Value| -> Vec<String> {
            let stage = |s: &serde_json::Value| format!("{} {}", s["stage"].as_str().unwrap(), s["outcome"].as_str().unwrap());
            json["stages"].as_array().unwrap().iter().map(stage).collect()
        };
        let passed = preview(1).await;
        assert_eq!(stages(&passed), ["intake pass", "route pass", "transform pass", "render pass", "sign pass"]);
        assert_eq!(passed["request"]["url"], receiver.url("/x"));
        assert_eq!(passed["request"]["body"], r#"{"id": "x"}"#);
        assert_eq!(passed["unresolved"], json!(["{{data.gone}}"]));
        let dropped = preview(2).await;
        assert_eq!(stages(&dropped), ["intake pass", "route drop", "transform skip", "render skip", "sign skip"]);
        assert_eq!(dropped["request"], json!(null));
        assert!(receiver.requests().is_empty());
    }

    async fn all_five_methods_arrive(server: TestServer) {
        let receiver = Receiver::start().await;
        for method in ["POST", "PUT", "PATCH", "GET", "DELETE"] {
            let url = receiver.url(&format!("/{method}"));
            server.api.create_webhook(&json!({"name": method, "url": url, "event_types": ["*"], "method": method})).await;
        }
        server.api.send(&json!({"type": "a.b", "data": {}})).await;
        for request in receiver.wait(5).await {
            assert_eq!(request.path(), format!("/{}", request.method));
        }
    }

    async fn headers_that_belong_to_http_are_refused(server: TestServer) {
        let names = [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "Connection",
            "keep-alive",
            "TE",
            "Trailer",
            "upgrade",
            "Expect",
            "HTTP2-Settings",
            "Proxy-Authorization",
            "proxy-authenticate",
            "Proxy-Connection",
            "PROXY-anything",
        ];
        let good = json!({"name": "w", "url": "http://127.0.0.1:9/w", "event_types": ["*"]});
        let stored = server.api.create_webhook(&good).await;
        for name in names {
            let with = |field: &str, value: Value| {
                let mut webhook = good.clone();
                webhook["name"] = json!("other");
                webhook[field] = value;
                webhook
            };
            let webhooks = [
                with("headers", json!({name: "x"})),
                with("signers", json!([{"kind": "hmac", "header": name}])),
                with("signers", json!([{"kind": "secret", "header": name}])),
            ];
            for webhook in webhooks {
                let answer = server.api.post("webhooks", &webhook).await.expect(422);
                let detail = answer.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
                assert!(detail.contains("belongs to the connection"), "{name}: {}", answer.text());
                let preview = json!({"webhook": webhook, "event": {"type": "a.b", "data": {}}});
                server.api.post("preview", &preview).await.expect(422);
            }
            let change = json!({"headers": {name: "x"}});
            let path = format!("webhooks/{}", stored.id);
            server.api.patch(&path, &change).await.expect(422);
            for field in ["headers", "test_headers"] {
                let profile = json!({"name": "p", "payload": [{"rest": "data"}], field: {name: "x"}});
                let answer = server.api.put("/v1/profiles/p", &profile).await.expect(422);
                let pointer = answer.json()["errors"][0]["pointer"].as_str().unwrap().to_owned();
                assert_eq!(pointer, format!("/{field}/{name}"), "{}", answer.text());
            }
            let profile = json!({"name": "p", "payload": [{"rest": "data"}], "signers": [{"kind": "secret", "header": name}]});
            let answer = server.api.put("/v1/profiles/p", &profile).await.expect(422);
            assert_eq!(answer.json()["errors"][0]["pointer"], "/signers/0/header", "{}", answer.text());
        }
    }
}
