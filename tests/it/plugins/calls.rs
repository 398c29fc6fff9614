//! Plugins: the bundled ones do their work, hostile ones harm nobody.

use std::time::Duration;

use antar_harness::{Answer, Api, Database, Receiver, TestServer, eventually, on_both_databases};
use antar_test_guests::{Guest, from_text};
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

    async fn headers_of_the_connection_are_no_plugins(server: TestServer) {
        let receiver = Receiver::start().await;
        let api = &server.api;
        upload(api, Guest::Hostile).await;
        for (path, name, on_error) in [("set", "X-Kind", "fail"), ("skipped", "Proxy-Connection", "skip"), ("failed", "upgrade", "fail")] {
            let config = json!({"mode": "header", "name": name, "value": "h2c"});
            api.create_webhook(&json!({
                "name": path, "url": receiver.url(&format!("/{path}")), "event_types": ["*"],
                "plugins": [{"plugin": Guest::Hostile.name(), "config": config, "on_error": on_error}],
            }))
            .await;
        }
        let event_id = api.send(&json!({"type": "a.b", "data": {}})).await;
        let failed = api.delivery_in("failed", &format!("event_id={event_id}")).await;
        let reason = failed.reason.unwrap();
        assert!(reason.contains("the header upgrade belongs to the connection"), "{reason}");
        receiver.wait(2).await;
        assert_eq!(receiver.at("/set")[0].header("x-kind"), Some("h2c"));
        assert_eq!(receiver.at("/skipped")[0].header("proxy-connection"), None);
    }

    async fn what_takes_long_is_compiled_in_the_background(database: Database) {
        let server = database.server().config(|config| config.plugins.upload_wait_ms = 0).start().await;
        let api = &server.api;
        let taken = post(api, Guest::ByLabel).await.expect(202).json();
        assert_eq!((taken["state"].as_str(), taken["version"].as_u64()), (Some("compiling"), Some(1)), "{taken}");
        assert_eq!((taken["kind"].as_str(), &taken["pool"]), (Some("filter"), &Value::Null));
        let ready = eventually("it is compiled", async || {
            let now = api.get("plugins/by-label@1").await.expect(200).json();
            (now["state"] != "compiling").then_some(now)
        })
        .await;
        assert_eq!((ready["state"].as_str(), ready["pool"].as_str()), (Some("ready"), Some("small")), "{ready}");
        assert!(ready["config_schema"]["properties"]["any"].is_object(), "{ready}");
        assert!(ready["call_us"].is_u64() && ready["error"].is_null(), "{ready}");
        assert_eq!(ready["exports"], json!(["antar:plugin/filter@1.0.0"]));
        // The same file again comes from the cache, and what a restart finds is ready.
        post(api, Guest::ByLabel).await.expect(202);
        let server = server.restart().await;
        eventually("both are ready", async || {
            let versions = server.api.list("plugins/by-label/versions").await;
            (versions.len() == 2 && versions.iter().all(|v| v["state"] == "ready")).then_some(())
        })
        .await;
        let receiver = Receiver::start().await;
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"],
                             "plugins": [{"plugin": "by-label", "config": {"any": ["vip"]}}]});
        server.api.create_webhook(&webhook).await;
        server.api.send(&json!({"type": "a.b", "data": {"conversation": {"labels": ["vip"]}}})).await;
        receiver.wait(1).await;
    }

    async fn an_upload_that_fails_in_the_background_says_why(database: Database) {
        let server = database.server().config(|config| config.plugins.upload_wait_ms = 0).start().await;
        let api = &server.api;
        // What can be seen at once is refused at once.
        let refused = upload_bytes(api, "nothing", b"no wasm".to_vec()).await;
        assert_eq!(refused.problem(), (422, "plugin_invalid".to_owned()));
        // It says that it is a filter, and is none.
        let half = from_text(
            r#"(component (instance $i) (export "antar:plugin/filter@1.0.0" (instance $i)))"#,
        );
        upload_bytes(api, "half", half).await.expect(202);
        let failed = eventually("it failed", async || {
            let now = api.get("plugins/half@1").await.expect(200).json();
            (now["state"] != "compiling").then_some(now)
        })
        .await;
        assert_eq!(failed["state"], "failed");
        assert!(failed["error"].as_str().unwrap().contains("describe"), "{failed}");
        assert_eq!(api.list("plugins").await.len(), 1);
        let webhook = json!({"name": "w", "url": "http://127.0.0.1:9/", "event_types": ["*"],
                             "plugins": [{"plugin": "half"}]});
        assert_eq!(api.post("webhooks", &webhook).await.problem().0, 422);
        api.delete("plugins/half").await.expect(204);
        api.get("plugins/half").await.expect(404);
    }

    async fn an_upload_too_many_is_told_when_to_come_again(database: Database) {
        let server = database.server().config(|config| config.plugins.uploads_waiting_max = 1).start().await;
        let (one, other) = tokio::join!(post(&server.api, Guest::ByLabel), post(&server.api, Guest::Hostile));
        let (taken, refused) = if one.status == 201 { (one, other) } else { (other, one) };
        taken.expect(201);
        assert!(refused.headers.contains_key("retry-after"), "{:?}", refused.headers);
        assert_eq!(refused.problem(), (503, "busy".to_owned()));
        // Once the other one is through, it is taken.
        post(&server.api, Guest::Hostile).await.expect(201);
    }

    async fn a_tenants_plugins_are_its_own(server: TestServer) {
        upload(&server.api, Guest::ByLabel).await;
        let other = server.create_tenant("other").await;
        assert_eq!(other.get("plugins/by-label").await.problem().0, 404);
        assert_eq!(other.list("plugins").await.len(), 0);
        let webhook = json!({"name": "w", "url": "http://127.0.0.1:9/", "event_types": ["*"],
                             "plugins": [{"plugin": "by-label", "config": {}}]});
        assert_eq!(other.post("webhooks", &webhook).await.problem().0, 422);
        let tried = json!({"event": {"type": "a.b", "data": {}}});
        assert_eq!(other.post("plugins/by-label/test", &tried).await.problem().0, 404);
        assert_eq!(other.delete("plugins/by-label").await.problem().0, 404);
    }

    async fn a_plugin_that_fails_again_and_again_is_paused_and_deliveries_wait(database: Database) {
        let server = database.server().manual_clock().config(|config| {
            config.plugins.breaker_failures_max = 2;
            config.plugins.breaker_pause_ms = 60_000;
            config.plugins.call_time_ms = 5_000;
        });
        let server = server.start().await;
        let (api, receiver) = (&server.api, Receiver::start().await);
        upload(api, Guest::Hostile).await;
        let webhook = |name: &str, config: Value, on_error: &str| {
            json!({"name": name, "url": receiver.url(&format!("/{name}")), "event_types": [name],
                   "plugins": [{"plugin": Guest::Hostile.name(), "config": config, "on_error": on_error}],
                   "retry": {"schedule_s": [1_000_000], "attempts_max": 5, "jitter": 0}})
        };
        api.create_webhook(&webhook("broken", json!({"mode": "trap"}), "retry")).await;
        api.create_webhook(&webhook("good", json!({}), "retry")).await;
        api.create_webhook(&webhook("skips", json!({}), "skip")).await;
        for _ in 0..2 {
            let event = api.send(&json!({"type": "broken", "data": {}})).await;
            api.delivery_that("has failed once", &format!("event_id={event}"), |d| d.attempts == 1).await;
        }
        let plugin = api.get(&format!("plugins/{}", Guest::Hostile.name())).await.expect(200).json();
        assert!(plugin["paused"]["reason"].as_str().unwrap().starts_with("failed 2 times in a row: the plugin stopped"), "{plugin}");
        assert_eq!(plugin["paused"]["until"], "2026-03-10T12:01:00.000Z");
        // What would go well waits too, uncounted; what can do without does without.
        let waits = api.send(&json!({"type": "good", "data": {}})).await;
        let waits = format!("event_id={waits}");
        let held = api.delivery_that("waits", &waits, |d| d.reason.as_deref() == Some("plugin_paused")).await;
        assert_eq!((held.state.as_str(), held.attempts), ("pending", 0));
        assert_eq!(held.next_attempt_at.as_deref(), Some("2026-03-10T12:01:00.000Z"));
        api.send(&json!({"type": "skips", "data": {}})).await;
        receiver.wait_at("/skips", 1).await;
        server.advance(Duration::from_secs(60));
        let delivered = api.delivery_in("delivered", &waits).await;
        assert_eq!(delivered.attempts, 1);
        receiver.wait_at("/good", 1).await;
        let plugin = api.get(&format!("plugins/{}", Guest::Hostile.name())).await.expect(200).json();
        assert_eq!(plugin["paused"], Value::Null);
        receiver.wait(2).await;
    }

    async fn what_plugins_cost_is_in_the_metrics(server: TestServer) {
        // Figures are the process's, which other servers share.
        let tenant = format!("metered-{}", server.base.rsplit(':').next().unwrap());
        let api = server.create_tenant(&tenant).await;
        let ours = format!("tenant=\"{tenant}\"");
        let receiver = Receiver::start().await;
        upload(&api, Guest::ByLabel).await;
        api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"],
            "plugins": [{"plugin": "by-label", "config": {"any": ["vip"]}}]})).await;
        for labels in [json!(["vip"]), json!([]), json!(["vip"])] {
            api.send(&json!({"type": "a.b", "data": {"conversation": {"labels": labels}}})).await;
        }
        receiver.wait(2).await;
        let find = |text: &str, name: &str| {
            let of_ours = |line: &&str| line.starts_with(name) && line.contains(&ours) && line.contains("plugin=\"by-label\"");
            text.lines().filter(of_ours).map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let text = eventually("all calls are counted", async || {
            let text = server.api.get("/metrics").await.expect(200).text();
            // Counters and histograms are read one after the other, so both must have seen the last call.
            let has = |name: &str, outcome: &str, end: &str| {
                find(&text, name).iter().any(|line| line.contains(outcome) && line.ends_with(end))
            };
            let all = has("antar_plugin_call_seconds_count", "", " 3")
                && has("antar_plugin_calls_total", "outcome=\"pass\"", " 2")
                && has("antar_plugin_calls_total", "outcome=\"drop\"", " 1");
            all.then_some(text)
        })
        .await;
        assert_eq!(find(&text, "antar_plugin_memory_bytes_max").len(), 1);
        assert!(find(&text, "antar_plugin_call_seconds_bucket").len() > 10);
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
    post(api, guest).await.expect(201).json()
}

async fn post(api: &Api, guest: Guest) -> Answer {
    upload_bytes(api, guest.name(), guest.wasm()).await
}

async fn upload_bytes(api: &Api, name: &str, wasm: Vec<u8>) -> Answer {
    let call = api.call("POST", &format!("plugins?name={name}"));
    call.header("content-type", "application/wasm").body(wasm).send().await
}
