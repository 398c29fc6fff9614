//! Who may call what.

use antar_harness::{TestServer, on_both_databases};
use serde_json::{Value, json};

on_both_databases! {
    async fn nothing_but_health_answers_without_a_key(server: TestServer) {
        let nobody = server.api.with_key(None);
        for path in ["/healthz", "/readyz"] {
            nobody.get(path).await.expect(200);
        }
        let operator = server.api.get("/openapi.json").await.expect(200).json();
        let mut checked = 0;
        for (path, methods) in operator["paths"].as_object().unwrap() {
            if path.starts_with("/in/") || ["/healthz", "/readyz"].contains(&path.as_str()) {
                continue;
            }
            let concrete: Vec<_> = path.split('/').map(|part| if part.starts_with('{') { "default" } else { part }).collect();
            for method in methods.as_object().unwrap().keys().filter(|name| name.as_str() != "parameters") {
                let answer = nobody.call(&method.to_uppercase(), &concrete.join("/")).json(&json!({})).send().await;
                assert_eq!(answer.problem().0, 401, "{method} {path}");
                checked += 1;
            }
        }
        assert!(checked > 30, "the OpenAPI document lists {checked} calls");
        let forged = server.api.with_key(Some("antar_0123456789abcdef0123456789abcdef"));
        assert_eq!(forged.get("webhooks").await.problem().0, 401);
    }

    async fn scopes_limit_a_tenants_key(server: TestServer) {
        let api = server.create_tenant("shop").await;
        let key = |scope: &'static str| {
            let api = api.clone();
            async move { api.with_key(Some(&api.create_key(&[scope]).await)) }
        };
        let (publish, read, manage) = (key("publish").await, key("read").await, key("manage").await);
        let event = json!({"type": "a.b", "data": {}});
        let webhook = json!({"name": "w", "url": "http://127.0.0.1:9/w", "event_types": ["x.y"]});

        publish.post("events", &event).await.expect(202);
        assert_eq!(publish.get("webhooks").await.problem().0, 403);
        read.get("webhooks").await.expect(200);
        assert_eq!(read.post("events", &event).await.problem().0, 403);
        assert_eq!(read.post("webhooks", &webhook).await.problem().0, 403);
        manage.post("events", &event).await.expect(202);
        manage.post("webhooks", &webhook).await.expect(201);
        for operator_call in ["/v1/tenants", "/v1/keys"] {
            assert_eq!(manage.get(operator_call).await.problem().0, 403, "{operator_call}");
        }
    }

    async fn a_deleted_key_opens_nothing(server: TestServer) {
        let api = server.create_tenant("shop").await;
        let key = api.create_key(&["manage"]).await;
        let holder = api.with_key(Some(&key));
        holder.get("webhooks").await.expect(200);
        let listed = api.list("keys").await;
        assert!(!Value::from(listed.clone()).to_string().contains(&key), "keys are stored hashed");
        let id = listed[0]["id"].as_str().unwrap();
        server.api.delete(&format!("/v1/keys/{id}")).await.expect(204);
        assert_eq!(holder.get("webhooks").await.problem().0, 401);
    }
}
