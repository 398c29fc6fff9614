//! Several nodes on one PostgreSQL: what one is told, the others know.

use antar_harness::{Api, Database, Receiver, TestServer, eventually};
use antar_test_guests::Guest;
use serde_json::json;

use crate::plugins::calls::upload;

/// Two nodes; none where PostgreSQL is left out.
async fn two_nodes() -> Option<(TestServer, TestServer)> {
    let first = Database::postgres().await?.server().start().await;
    let second = first.another_node().start().await;
    Some((first, second))
}

/// Waits until a node answers this to `GET path`.
async fn status(api: &Api, path: &str, wanted: u16) {
    let what = format!("{path} answers {wanted}");
    eventually(&what, async || (api.get(path).await.status == wanted).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_made_on_one_node_gets_the_events_of_the_other() {
    let Some((first, second)) = two_nodes().await else { return };
    let receiver = Receiver::start().await;
    let webhook = json!({"name": "w", "url": receiver.url("/before"), "event_types": ["*"]});
    let webhook = first.api.create_webhook(&webhook).await;
    let path = format!("webhooks/{}", webhook.id);
    status(&second.api, &path, 200).await;
    second.api.send(&json!({"type": "a.b", "data": {}})).await;
    receiver.wait_at("/before", 1).await;

    let changed = json!({"url": receiver.url("/after")});
    second.api.patch(&path, &changed).await.expect(200);
    eventually("the first node knows the new URL", async || {
        let stands = first.api.get(&path).await.json();
        (stands["url"] == changed["url"]).then_some(())
    })
    .await;
    first.api.send(&json!({"type": "a.b", "data": {}})).await;
    receiver.wait_at("/after", 1).await;

    first.api.delete(&path).await.expect(204);
    status(&second.api, &path, 404).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_secrets_keys_profiles_and_types_are_known_on_all_nodes() {
    let Some((first, second)) = two_nodes().await else { return };
    let receiver = Receiver::start().await;
    let tenant = first.create_tenant("acme").await;
    let there = second.api.tenant("acme");
    status(&there, "webhooks", 200).await;

    tenant.put("secrets/token", &json!({"value": "t-1"})).await.expect(201);
    tenant.put("event-types/a.b", &json!({"description": "something"})).await.expect(201);
    status(&there, "event-types/a.b", 200).await;
    let webhook = json!({
        "name": "w", "url": receiver.url("/w"), "event_types": ["*"],
        "headers": {"X-Token": "{{antar.secret.token}}"},
    });
    let webhook = there.create_webhook(&webhook).await;
    there.send(&json!({"type": "a.b", "data": {}})).await;
    assert_eq!(receiver.wait(1).await[0].header("x-token"), Some("t-1"));
    status(&tenant, &format!("webhooks/{}", webhook.id), 200).await;

    upload(&tenant, Guest::ByLabel).await;
    let by_plugin = json!({
        "name": "p", "url": receiver.url("/p"), "event_types": ["a.c"], "plugins": [{"plugin": "by-label", "config": {"any": ["vip"]}}],
    });
    eventually("the other node has the plugin", async || {
        (there.post("webhooks", &by_plugin).await.status == 201).then_some(())
    })
    .await;
    there.send(&json!({"type": "a.c", "data": {"conversation": {"labels": ["vip"]}}})).await;
    receiver.wait_at("/p", 1).await;

    let key = tenant.create_key(&["manage"]).await;
    status(&there.with_key(Some(&key)), "webhooks", 200).await;

    let profile = json!({"name": "house", "payload": [{"rest": "data"}]});
    first.api.put("/v1/profiles/house", &profile).await.expect(201);
    status(&second.api, "/v1/profiles/house", 200).await;

    first.api.delete("/v1/tenants/acme").await.expect(204);
    status(&there, "webhooks", 404).await;
}
