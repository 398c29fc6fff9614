//! A secret is shown once and seen by its receiver; nowhere else.

use antar_harness::{Receiver, Reply, TestServer, on_both_databases};
use antar_test_guests::Guest;
use serde_json::json;

use crate::plugins::calls::upload;

const NAMED: &str = "crm-key-0123456789-very-private";

on_both_databases! {
    async fn no_answer_echoes_a_secret(server: TestServer) {
        let receiver = Receiver::start().await;
        // A receiver that repeats what it was told.
        receiver.reply_with(|request, _| Reply::ok().body(format!("{:?} {}", request.headers, request.text())));
        server.api.put("secrets/crm_key", &json!({"value": NAMED})).await;
        let webhook = server
            .api
            .create_webhook(&json!({
                "name": "w", "url": receiver.url("/w?key={{antar.secret.crm_key}}"), "event_types": ["*"],
                "headers": {"X-Api-Key": "{{antar.secret.crm_key}}"},
                "body": r#"{"key": "{{antar.secret.crm_key}}", "n": {{data.n}}}"#,
                "signers": [{"kind": "secret", "header": "X-Secret-Key"}],
            }))
            .await;
        let event = json!({"type": "a.b", "data": {"n": 1}});
        let event_id = server.api.send(&event).await;
        let request = receiver.wait(1).await.remove(0);
        assert_eq!(request.header("x-api-key"), Some(NAMED));
        assert_eq!(request.header("x-secret-key"), Some(webhook.secret.as_str()));
        assert_eq!(request.json()["key"], NAMED);
        assert_eq!(request.target, format!("/w?key={NAMED}"));

        let delivery = server.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
        let mut shown = vec![
            server.api.post(&format!("webhooks/{}/test", webhook.id), &json!({"data": {"n": 1}})).await.expect(200).text(),
            server.api.post("preview", &json!({"webhook": webhook.id, "event": event_id})).await.expect(200).text(),
        ];
        for path in [
            "webhooks".to_owned(),
            format!("webhooks/{}", webhook.id),
            format!("webhooks/{}/revisions", webhook.id),
            format!("deliveries/{}/attempts", delivery.id),
            "deliveries".to_owned(),
            "secrets".to_owned(),
            "events".to_owned(),
            format!("events/{event_id}/explain"),
        ] {
            shown.push(server.api.get(&path).await.expect(200).text());
        }
        for text in &shown {
            assert!(!text.contains(NAMED) && !text.contains(&webhook.secret), "a secret is shown: {text}");
        }
        assert!(shown[0].contains("•••"), "the test shows where secrets stand: {}", shown[0]);
        receiver.wait(2).await;
    }

    async fn a_request_has_a_bounded_number_of_secrets_and_bytes_of_them(server: TestServer) {
        let receiver = Receiver::start().await;
        let mut all = String::new();
        for number in 0..65 {
            server.api.put(&format!("secrets/s{number}"), &json!({"value": format!("secret-{number}")})).await;
            all += &format!("{{{{antar.secret.s{number}}}}} ");
        }
        server.api.put("secrets/long", &json!({"value": "x".repeat(16_000)})).await;
        let often = "{{antar.secret.long}}".repeat(17);
        for (name, body, setting) in [
            ("many", all.as_str(), "tenant.secrets_per_request_max"),
            ("often", often.as_str(), "tenant.secret_bytes_per_request_max"),
        ] {
            let webhook = json!({"name": name, "url": receiver.url("/w"), "event_types": [format!("a.{name}")],
                                 "headers": {"content-type": "text/plain"}, "body": body, "retry": {"attempts_max": 1}});
            server.api.create_webhook(&webhook).await;
            let event_id = server.api.send(&json!({"type": format!("a.{name}"), "data": {}})).await;
            let failed = server.api.delivery_in("failed", &format!("event_id={event_id}")).await;
            assert!(failed.reason.unwrap().contains(setting));
        }
        assert!(receiver.requests().is_empty());
    }

    async fn a_secret_that_a_plugin_writes_is_not_stored(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply_with(|request, _| Reply::ok().body(request.text()));
        server.api.put("secrets/crm_key", &json!({"value": NAMED})).await;
        upload(&server.api, Guest::Reshape).await;
        let key = json!({"const": {"$secret": "crm_key"}});
        let webhook = json!({
            "name": "w", "url": receiver.url("/w"), "event_types": ["*"],
            "plugins": [{"plugin": "reshape", "config": {"to": {"key": key}}}],
        });
        server.api.create_webhook(&webhook).await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        assert_eq!(receiver.wait(1).await[0].json()["data"]["key"], NAMED);
        let delivery = server.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
        let attempts = server.api.get(&format!("deliveries/{}/attempts", delivery.id)).await.text();
        assert!(!attempts.contains(NAMED), "{attempts}");
        let read = server.api.create_key(&["read"]).await;
        let preview = json!({"webhook": webhook, "event": {"type": "a.b", "data": {}}});
        let answer = server.api.with_key(Some(&read)).post("preview", &preview).await;
        assert_eq!(answer.problem().0, 403, "what a plugin makes of a secret is not for every reader");
    }

    async fn secrets_do_not_lie_open_in_the_database(server: TestServer) {
        let webhook = json!({"name": "w", "url": "http://127.0.0.1:9/w", "event_types": ["x.y"]});
        let webhook = server.api.create_webhook(&webhook).await;
        server.api.put("secrets/crm_key", &json!({"value": NAMED})).await;
        let bare = webhook.secret.trim_start_matches("whsec_").to_owned();
        for file in std::fs::read_dir(server.data_dir()).unwrap() {
            let path = file.unwrap().path();
            if !path.is_file() {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            for secret in [NAMED, &bare] {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{} has a secret in the open", path.display());
            }
        }
    }

    async fn a_key_file_is_readable_by_its_owner_alone(server: TestServer) {
        use std::os::unix::fs::PermissionsExt;
        for name in ["operator.key", "secrets.key"] {
            let mode = std::fs::metadata(server.data_dir().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    async fn a_secret_in_use_tells_where(server: TestServer) {
        server.api.put("secrets/token", &json!({"value": "t"})).await;
        let webhook = json!({
            "name": "w", "url": "http://127.0.0.1:9/w", "event_types": ["x.y"],
            "signers": [{"kind": "bearer", "key": "token"}],
        });
        server.api.create_webhook(&webhook).await;
        let list = server.api.list("secrets").await;
        assert_eq!(list.len(), 1);
        assert_eq!(list[0]["name"], "token");
        assert!(list[0].to_string().contains("`w`"), "{}", list[0]);
    }
}
