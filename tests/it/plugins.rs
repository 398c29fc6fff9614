//! Plugins: the bundled ones do their work, hostile ones harm nobody.

use antar_harness::{Api, Receiver, TestServer, on_both_databases};
use antar_test_guests::Guest;
use serde_json::{Value, json};

on_both_databases! {
    async fn the_bundled_plugins_filter_and_change(server: TestServer) {
        let receiver = Receiver::start().await;
        let api = &server.api;
        for guest in Guest::BUNDLED {
            upload(api, guest).await;
        }
        let webhook = |name: &str, plugin: &str, config: Value| {
            json!({"name": name, "url": receiver.url(&format!("/{name}")), "event_types": ["*"],
                   "plugins": [{"plugin": plugin, "config": config}]})
        };
        api.create_webhook(&webhook("vip", "by-label", json!({"any": ["vip"]}))).await;
        let none = api.create_webhook(&webhook("none", "by-label", json!({"none": ["vip"]}))).await;
        api.create_webhook(&webhook("redacted", "redact", json!({"paths": ["conversation.phone"]}))).await;
        let data = json!({"conversation": {"labels": ["vip"], "phone": "+6281234567890"}});
        let event_id = api.send(&json!({"type": "conversation.created", "data": data})).await;
        receiver.wait(2).await;
        assert_eq!(receiver.at("/vip").len(), 1);
        assert!(!receiver.at("/redacted")[0].text().contains("6281234567890"));
        let dropped = api.delivery_in("dropped", &format!("event_id={event_id}&webhook_id={}", none.id)).await;
        assert!(dropped.reason.as_deref().unwrap().contains("vip"), "{dropped:?}");
    }

    async fn versions_are_immutable_and_a_webhook_may_pin_one(server: TestServer) {
        let first = upload(&server.api, Guest::ByLabel).await;
        assert_eq!((first["name"].as_str(), first["version"].as_u64()), (Some("by-label"), Some(1)));
        assert_eq!(first["kind"], "filter");
        let receiver = Receiver::start().await;
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"],
                             "plugins": [{"plugin": "by-label@1", "config": {"any": ["vip"]}}]});
        server.api.create_webhook(&webhook).await;
        let missing = json!({"name": "m", "url": receiver.url("/m"), "event_types": ["*"],
                             "plugins": [{"plugin": "by-label@7"}]});
        assert_eq!(server.api.post("webhooks", &missing).await.problem().0, 422);
    }

    async fn hostile_guests_are_handled_by_on_error_and_nobody_else_notices(server: TestServer) {
        let receiver = Receiver::start().await;
        let api = &server.api;
        upload(api, Guest::Hostile).await;
        let modes = ["loop", "memory", "trap", "recursion", "text", "big"];
        for mode in modes {
            for (on_error, attempts_max) in [("retry", 1), ("skip", 1), ("drop", 1), ("fail", 5)] {
                let name = format!("{mode}-{on_error}");
                let config = json!({"mode": mode, "count": 100 << 20});
                api.create_webhook(&json!({
                    "name": name, "url": receiver.url(&format!("/{name}")), "event_types": ["hostile"],
                    "plugins": [{"plugin": Guest::Hostile.name(), "config": config, "on_error": on_error}],
                    "retry": {"attempts_max": attempts_max},
                }))
                .await;
            }
        }
        let quiet = json!({"name": "quiet", "url": receiver.url("/quiet"), "event_types": ["*"]});
        api.create_webhook(&quiet).await;
        let event_id = api.send(&json!({"type": "hostile", "data": {"n": 1}})).await;
        for n in 0..20 {
            api.send(&json!({"type": "other", "data": {"n": n}})).await;
        }
        receiver.wait_at("/quiet", 21).await;
        let of_event = |state: &str| format!("event_id={event_id}&state={state}");
        let count = async |state: &str, wanted: usize| {
            antar_harness::eventually(&format!("{wanted} are {state}"), async || {
                Some(api.deliveries(&of_event(state)).await).filter(|found| found.len() == wanted)
            })
            .await
        };
        // `retry` with one attempt and `fail` end as failed; `skip` goes on without the plugin.
        count("failed", 2 * modes.len()).await;
        count("dropped", modes.len()).await;
        count("delivered", modes.len() + 1).await;
        for mode in modes {
            assert_eq!(receiver.at(&format!("/{mode}-skip")).len(), 1, "{mode}");
        }
        let attempt = api.attempts(&count("failed", 2 * modes.len()).await[0]).await.remove(0);
        assert_eq!(attempt["request"], Value::Null, "{attempt}");
        receiver.wait(21 + modes.len()).await;
    }

    async fn what_an_intake_plugin_removes_never_reaches_the_disk(server: TestServer) {
        let receiver = Receiver::start().await;
        upload(&server.api, Guest::Redact).await;
        let tenant = json!({"intake_plugins": [{"plugin": "redact", "config": {"paths": ["phone"]}}]});
        let answer = server.api.put("/v1/tenants/default", &tenant).await;
        assert!(answer.status < 300, "{}", answer.text());
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        let data = json!({"name": "Sari", "phone": "+62-812-secret-number"});
        let event_id = server.api.send(&json!({"type": "contact.created", "data": data})).await;
        let request = receiver.wait(1).await.remove(0);
        assert_eq!(request.json()["data"]["name"], "Sari");
        let stored = server.api.get(&format!("events/{event_id}")).await.expect(200).text();
        for text in [request.text(), stored] {
            assert!(!text.contains("secret-number"), "{text}");
        }
        for file in std::fs::read_dir(server.data_dir()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
            assert!(!bytes.windows(13).any(|window| window == b"secret-number"));
        }
    }
}

pub(crate) async fn upload(api: &Api, guest: Guest) -> Value {
    let call = api.call("POST", &format!("plugins?name={}", guest.name()));
    call.header("content-type", "application/wasm")
        .body(guest.wasm())
        .send()
        .await
        .expect(201)
        .json()
}
