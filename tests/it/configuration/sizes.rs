//! A tenant's configuration has a size: counts and bytes are limits with names, and what stands goes on.

use antar_harness::{Answer, Database, Receiver, on_both_databases};
use serde_json::{Value, json};

fn webhook(name: &str) -> Value {
    json!({"name": name, "url": "http://127.0.0.1:9/w", "event_types": ["a.*"]})
}

/// The answer refuses a change because of this setting.
fn refused(answer: &Answer, status: u16, setting: &str) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{setting}: {text}");
    assert!(text.contains(&format!("(tenant.{setting})")), "{setting}: {text}");
}

on_both_databases! {
    async fn counts_are_limits_with_names(database: Database) {
        let two = |config: &mut antar::config::Config| {
            let tenant = &mut config.tenant;
            tenant.webhooks_max = 2;
            tenant.event_types_max = 2;
            tenant.secrets_max = 2;
            tenant.keys_max = 2;
            tenant.sources_max = 2;
        };
        let server = database.server().config(two).start().await;
        let api = &server.api;
        let source = |name: &str| json!({"name": name, "event_type": "a.b"});
        let key = json!({"name": "k", "scopes": ["read"]});
        for name in ["a", "b"] {
            api.create_webhook(&webhook(name)).await;
            api.put(&format!("event-types/a.{name}"), &json!({})).await.expect(201);
            api.put(&format!("secrets/{name}"), &json!({"value": "v"})).await.expect(201);
            api.post("sources", &source(name)).await.expect(201);
            api.post("keys", &key).await.expect(201);
        }
        refused(&api.post("webhooks", &webhook("c")).await, 409, "webhooks_max");
        refused(&api.put("event-types/a.c", &json!({})).await, 409, "event_types_max");
        refused(&api.put("secrets/c", &json!({"value": "v"})).await, 409, "secrets_max");
        refused(&api.post("sources", &source("c")).await, 409, "sources_max");
        refused(&api.post("keys", &key).await, 409, "keys_max");
        // What is there can be replaced, and what goes makes room. Another tenant has room of its own.
        api.put("event-types/a.a", &json!({"description": "x"})).await.expect(200);
        api.put("secrets/a", &json!({"value": "w"})).await.expect(200);
        api.delete("event-types/a.b").await.expect(204);
        api.put("event-types/a.c", &json!({})).await.expect(201);
        server.create_tenant("other").await.put("event-types/a.c", &json!({})).await.expect(201);
    }

    async fn sizes_are_limits_with_names(database: Database) {
        let small = |config: &mut antar::config::Config| {
            let tenant = &mut config.tenant;
            tenant.settings_bytes_max = 4_096;
            tenant.event_type_bytes_max = 4_096;
            tenant.types_per_webhook_max = 3;
            tenant.signers_per_webhook_max = 2;
            tenant.headers_max = 2;
            tenant.facet_value_bytes_max = 100;
        };
        let server = database.server().config(small).start().await;
        server.apply_platforms().await;
        let api = &server.api;
        let long = "x".repeat(5_000);
        let with = |name: &str, value: Value| {
            let mut webhook = webhook("w");
            webhook[name] = value;
            webhook
        };
        for (setting, wrong) in [
            ("settings_bytes_max", with("body", json!(long))),
            ("settings_bytes_max", with("rule", json!({"data": {"x": vec!["x"; 2_000]}}))),
            ("settings_bytes_max", with("hosts_allowed", json!(vec!["a.example"; 500]))),
            ("types_per_webhook_max", with("event_types", json!(["a", "b", "c", "d"]))),
            ("signers_per_webhook_max", with("signers", json!(vec![json!({"kind": "bearer"}); 3]))),
            ("headers_max", with("headers", json!({"x-a": "1", "x-b": "2", "x-c": "3"}))),
        ] {
            refused(&api.post("webhooks", &wrong).await, 422, setting);
        }
        for wrong in [json!({"description": long}), json!({"example": {"x": long}}), json!({"schema": {"title": long}})] {
            refused(&api.put("event-types/a.b", &wrong).await, 422, "event_type_bytes_max");
        }
        let source = json!({"name": "s", "event_type": "a.b", "attributes": {"x": long}});
        refused(&api.post("sources", &source).await, 422, "settings_bytes_max");
        api.put("/v1/tenants/default", &json!({"profile": "cekat"})).await.expect(200);
        let values = json!({"values": [{"value": "x".repeat(101)}]});
        refused(&api.put("facets/inbox/values", &values).await, 422, "facet_value_bytes_max");
    }

    async fn the_memory_of_a_tenant_is_limited_as_a_whole(database: Database) {
        let little = |config: &mut antar::config::Config| config.tenant.configuration_bytes_max = 1 << 20;
        let server = database.server().config(little).start().await;
        let api = &server.api;
        let body = json!({"example": {"x": "x".repeat(100_000)}});
        let mut made = 0;
        let answer = loop {
            let answer = api.put(&format!("event-types/a.t{made}"), &body).await;
            if answer.status != 201 {
                break answer;
            }
            made += 1;
        };
        refused(&answer, 409, "configuration_bytes_max");
        assert_eq!(made, 10);
        let mut many_tags = webhook("w");
        many_tags["body"] = json!(format!("\"{}\"", "{{a}}".repeat(1_900)));
        refused(&api.post("webhooks", &many_tags).await, 409, "configuration_bytes_max");
        // It may shrink, and then there is room again.
        api.put("event-types/a.t0", &json!({})).await.expect(200);
        api.put("event-types/a.t0", &body).await.expect(200);
        api.delete("event-types/a.t1").await.expect(204);
        api.create_webhook(&webhook("w")).await;
        server.create_tenant("other").await.put("event-types/a.t0", &body).await.expect(201);
    }

    async fn what_was_saved_under_earlier_limits_goes_on(database: Database) {
        let receiver = Receiver::start().await;
        let server = database.server().start().await;
        let mut large = webhook("w");
        large["url"] = json!(receiver.url("/w"));
        large["headers"] = json!({"x-a": "1", "x-b": "2", "x-c": "3"});
        large["body"] = json!(format!("\"{} {{{{x}}}}\"", "x".repeat(5_000)));
        large["timeout_ms"] = json!(50_000);
        let made = server.api.create_webhook(&large).await;
        server.api.put("event-types/a.b", &json!({"example": {"x": "x".repeat(5_000)}})).await.expect(201);
        let server = server
            .restart_with(|config| {
                config.tenant.webhooks_max = 0;
                config.tenant.event_types_max = 0;
                config.tenant.settings_bytes_max = 100;
                config.tenant.event_type_bytes_max = 100;
                config.tenant.configuration_bytes_max = 1_000;
                config.tenant.headers_max = 1;
                config.templates.source_bytes_max = 100;
                config.delivery.timeout_ms_max = 20_000;
            })
            .await;
        server.api.send(&json!({"type": "a.b", "data": {"x": 1}})).await;
        receiver.wait(1).await;
        let path = format!("webhooks/{}", made.id);
        let grown = json!({"headers": {"x-a": "1", "x-b": "2", "x-c": "3", "x-d": "4"}});
        refused(&server.api.patch(&path, &grown).await, 422, "settings_bytes_max");
        let shrunk = json!({"headers": {"x-a": "1", "x-b": "2", "x-c": null}, "body": "\"{{x}}\"", "timeout_ms": 9_000});
        server.api.patch(&path, &shrunk).await.expect(200);
        server.api.put("event-types/a.b", &json!({"example": {"x": "x".repeat(4_000)}})).await.expect(200);
        let grown = json!({"example": {"x": "x".repeat(4_100)}});
        refused(&server.api.put("event-types/a.b", &grown).await, 422, "event_type_bytes_max");
    }

    async fn the_newest_revisions_are_kept(database: Database) {
        let server = database.server().config(|config| config.tenant.revisions_max = 3).start().await;
        let path = format!("webhooks/{}", server.api.create_webhook(&webhook("w0")).await.id);
        for n in 1..=5 {
            server.api.patch(&path, &json!({"name": format!("w{n}")})).await.expect(200);
        }
        let kept = server.api.list(&format!("{path}/revisions")).await;
        let numbers: Vec<_> = kept.iter().map(|row| row["revision"].as_u64().unwrap()).collect();
        assert_eq!(numbers, [6, 5, 4]);
        server.api.post(&format!("{path}/revert"), &json!({"revision": 1})).await.expect(422);
        server.api.post(&format!("{path}/revert"), &json!({"revision": 4})).await.expect(200);
        let stands = server.api.get(&path).await.json();
        assert_eq!((&stands["name"], &stands["revision"]), (&json!("w3"), &json!(7)));
    }
}
