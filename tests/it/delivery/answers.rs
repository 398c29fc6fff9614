//! Answers as receivers send them, and requests that they insist on.

use antar_harness::{Receiver, Reply, TestServer, on_both_databases};
use serde_json::{Value, json};

fn webhook(name: &str, url: &str, more: Value) -> Value {
    let mut webhook = json!({"name": name, "url": url, "event_types": [format!("a.{name}")], "retry": {"attempts_max": 1}});
    webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    webhook
}

/// `{"ok": true}` as `gzip -n` writes it.
const GZIP: &str = "1f8b0800000000000003ab56cacf56b25228292a4dad0500c619ab170c000000";

on_both_databases! {
    async fn coded_answers_are_decoded_before_they_are_judged(server: TestServer) {
        let receiver = Receiver::start().await;
        server.api.create_webhook(&webhook("w", &receiver.url("/w"), json!({"success": {"body": {"ok": [true]}}}))).await;
        let ok: &[u8] = br#"{"ok": true}"#;
        for (number, (coding, body)) in [
            ("gzip", hex::decode(GZIP).unwrap()),
            ("zstd", zstd::encode_all(ok, 3).unwrap()),
            ("identity", [b"\xef\xbb\xbf", ok].concat()),
        ]
        .into_iter()
        .enumerate()
        {
            receiver.reply(Reply::ok().header("content-encoding", coding).header("content-type", "application/json").body(body));
            let event_id = server.api.send(&json!({"type": "a.w", "data": {}})).await;
            let delivery = server.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
            let attempts = server.api.attempts(&delivery).await;
            assert_eq!(attempts[0]["response"]["body"], r#"{"ok": true}"#, "{coding}");
            assert_eq!(receiver.wait(number + 1).await[number].header("accept-encoding"), Some("identity"));
        }
    }

    async fn an_empty_body_has_a_length_where_it_has_a_meaning(server: TestServer) {
        let receiver = Receiver::start().await;
        for (method, length) in [("POST", Some("0")), ("PUT", Some("0")), ("PATCH", Some("0")), ("GET", None), ("DELETE", None)] {
            let name = method.to_lowercase();
            let more = json!({"method": method, "body": "{{data.nothing}}", "headers": {"Content-Type": "text/plain"}});
            server.api.create_webhook(&webhook(&name, &receiver.url(&format!("/{name}")), more)).await;
            server.api.send(&json!({"type": format!("a.{name}"), "data": {}})).await;
            let request = receiver.wait_at(&format!("/{name}"), 1).await.remove(0);
            assert_eq!(request.header("content-length"), length, "{method}");
            assert_eq!(request.text(), "");
        }
    }

    async fn success_is_written_as_people_write_it(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply(Reply::status(202).header("X-Result", "queued").body("{}"));
        let settings = [
            json!({"status": ["2xx"]}),
            json!({"status": ["202"]}),
            json!({"status": [202]}),
            json!({"headers": {"X-Result": ["queued"]}}),
            json!({"$or": [{"status": ["5XX"]}, {"headers.x-Result": [{"prefix": "que"}]}]}),
        ];
        for (number, success) in settings.into_iter().enumerate() {
            let name = format!("w{number}");
            server.api.create_webhook(&webhook(&name, &receiver.url("/w"), json!({"success": success}))).await;
            let event_id = server.api.send(&json!({"type": format!("a.{name}"), "data": {}})).await;
            server.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
        }
        receiver.wait(5).await;
        for (success, pointer) in [
            (json!({"code": [200]}), "/success/code"),
            (json!({"status": ["ok"]}), "/success/status/0"),
            (json!({"status": [2000]}), "/success/status"),
            (json!({"headers": {"x-count": [3]}}), "/success/headers/x-count/0"),
        ] {
            let answer = server.api.post("webhooks", &webhook("no", &receiver.url("/w"), json!({"success": success}))).await;
            let answer = answer.expect(422).json();
            assert_eq!(answer["errors"][0]["pointer"], pointer, "{answer}");
        }
    }

    async fn a_fragment_is_refused_where_it_is_written(server: TestServer) {
        server.api.put("secrets/url", &json!({"value": "https://a.example/?channel=#general"})).await;
        for url in ["https://a.example/?channel=#general", "https://a.example/{{data.a}}#x", "{{antar.secret.url}}"] {
            let answer = server.api.post("webhooks", &webhook("w", url, json!({}))).await.expect(422);
            assert!(answer.text().contains("%23"), "{}", answer.text());
        }
        let receiver = Receiver::start().await;
        let url = receiver.url("/w?channel=%23general&a={{data.a}}");
        server.api.create_webhook(&webhook("w", &url, json!({}))).await;
        let event_id = server.api.send(&json!({"type": "a.w", "data": {"a": "#1"}})).await;
        let delivery = server.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
        let request = receiver.wait(1).await.remove(0);
        assert!(request.target.ends_with("/w?channel=%23general&a=%231"), "{}", request.target);
        let shown = server.api.attempts(&delivery).await[0]["request"]["url"].as_str().unwrap().to_owned();
        assert!(shown.ends_with(&request.target), "{shown}");
    }

    async fn settings_that_cannot_be_meant_are_refused(server: TestServer) {
        for (retry, pointer) in [
            (json!({"schedule_s": []}), "/retry/schedule_s"),
            (json!({"statuses": []}), "/retry/statuses"),
        ] {
            let settings = json!({"name": "w", "url": "https://a.example/", "event_types": ["*"], "retry": retry});
            let answer = server.api.post("webhooks", &settings).await.expect(422).json();
            assert_eq!(answer["errors"][0]["pointer"], pointer, "{answer}");
        }
        server.apply_platforms().await;
        let settings = json!({"name": "w", "url": "https://a.example/", "event_types": ["sync.triger", "snc.*", "Sync.*", "sync.*"], "profile": "chatthing"});
        let saved = server.api.post("webhooks", &settings).await.expect(201).json();
        let warned: Vec<_> =
            saved["warnings"].as_array().unwrap().iter().map(|w| (w["pointer"].clone(), w["suggestion"].clone())).collect();
        assert_eq!(warned, [
            (json!("/event_types/0"), json!("sync.trigger")),
            (json!("/event_types/1"), json!("sync.*")),
            (json!("/event_types/2"), json!("sync.*")),
        ]);
    }

    async fn ids_of_others_go_all_the_way(server: TestServer) {
        let receiver = Receiver::start().await;
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        let ids = ["order/1", "50%", "a.b=c", "größe x", &"y".repeat(256)];
        for id in ids {
            for source in ["/crm", "/shop"] {
                let event = json!({"specversion": "1.0", "id": id, "source": source, "type": "com.example/order.paid"});
                let answer = server.api.call("POST", "events").header("content-type", "application/cloudevents+json").body(event.to_string());
                let answer = answer.send().await.expect(202).json();
                assert_eq!((&answer["id"], &answer["duplicate"]), (&json!(id), &json!(false)));
            }
        }
        let requests = receiver.wait(2 * ids.len()).await;
        let mut sent: Vec<_> = requests.iter().map(|request| request.header("webhook-id").unwrap().to_owned()).collect();
        sent.sort_unstable();
        sent.dedup();
        assert_eq!(sent.len(), 2 * ids.len(), "each of another source is another message");
        let is_form = |id: &String| id.len() <= 128 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:.-".contains(&b));
        assert!(sent.iter().all(is_form), "{sent:?}");
        assert!(requests.iter().all(|request| request.json()["type"] == "com.example_order.paid"));
        let encode = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
        for id in ids {
            let found = server.api.list(&format!("events?id={}", encode(id))).await;
            assert_eq!(found.len(), 2, "{id}");
            assert_eq!(found[0]["attributes"]["cloudevents_type"], "com.example/order.paid");
            assert_eq!(server.api.list(&format!("deliveries?event_id={}", encode(id))).await.len(), 2);
        }
        let mut pages = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = server.api.get(&format!("events?limit=3{cursor}")).await.expect(200).json();
            pages.extend(page["data"].as_array().unwrap().iter().map(|event| event["id"].to_string()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(pages.len(), 2 * ids.len());
        let binary = server.api.call("POST", "events").header("ce-specversion", "1.0").header("ce-id", "1");
        let binary = binary.header("ce-source", "/s").header("ce-type", "a").header("ce-subject", "caf%E9").body("{}");
        binary.send().await.expect(400);
    }
}
