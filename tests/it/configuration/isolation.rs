//! A tenant sees its own things only; private addresses are nobody's.

use antar_harness::{Database, Receiver, TestServer, on_both_databases};
use serde_json::json;

on_both_databases! {
    async fn another_tenants_things_are_not_found(server: TestServer) {
        let receiver = Receiver::start().await;
        let (one, two) = (server.create_tenant("one").await, server.create_tenant("two").await);
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]});
        let webhook = one.create_webhook(&webhook).await;
        let source = one.post("sources", &json!({"name": "s", "event_type": "in.call"})).await.expect(201).json();
        let event_id = one.send(&json!({"type": "a.b", "data": {}})).await;
        let delivery = one.delivery_in("delivered", &format!("event_id={event_id}")).await;
        let key = two.create_key(&["manage"]).await;
        let stranger = two.with_key(Some(&key));
        for path in [
            format!("webhooks/{}", webhook.id),
            format!("webhooks/{}/revisions", webhook.id),
            format!("sources/{}", source["id"].as_str().unwrap()),
            format!("events/{event_id}"),
            format!("events/{event_id}/explain"),
            format!("deliveries/{}", delivery.id),
            format!("deliveries/{}/attempts", delivery.id),
        ] {
            assert_eq!(stranger.get(&path).await.problem().0, 404, "{path}");
            // Not even where it is: the other tenant itself is not there.
            assert_eq!(stranger.get(&format!("/v1/tenants/one/{path}")).await.problem().0, 404, "{path}");
        }
        assert_eq!(stranger.delete(&format!("webhooks/{}", webhook.id)).await.problem().0, 404);
        assert_eq!(stranger.post(&format!("deliveries/{}/retry", delivery.id), &json!({})).await.problem().0, 404);
        assert!(stranger.list("webhooks").await.is_empty());
        assert!(stranger.deliveries("").await.is_empty());
        receiver.wait(1).await;
    }

    async fn names_ids_and_events_are_a_tenants_own(server: TestServer) {
        let receiver = Receiver::start().await;
        for tenant in ["one", "two"] {
            let api = server.create_tenant(tenant).await;
            let url = receiver.url(&format!("/{tenant}"));
            api.create_webhook(&json!({"name": "same", "url": url, "event_types": ["*"]})).await;
            api.send(&json!({"type": "a.b", "id": "same", "data": {"tenant": tenant}})).await;
        }
        for request in receiver.wait(2).await {
            assert_eq!(request.json()["data"]["tenant"], request.path()[1..]);
        }
        let again = server.api.tenant("one");
        let (status, code) =
            again.post("webhooks", &json!({"name": "same", "url": receiver.url("/x"), "event_types": ["*"]})).await.problem();
        assert_eq!(status, 409, "{code}");
    }

    async fn an_erased_tenant_is_gone(server: TestServer) {
        let receiver = Receiver::start().await;
        let api = server.create_tenant("leaving").await;
        api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        let event_id = api.send(&json!({"type": "a.b", "data": {}})).await;
        api.delivery_in("delivered", &format!("event_id={event_id}")).await;
        let erased = api.delete("/v1/tenants/leaving").await;
        assert!(erased.status < 300, "{}", erased.text());
        assert_eq!(api.get("webhooks").await.problem().0, 404);
        let api = server.create_tenant("leaving").await;
        assert!(api.list("webhooks").await.is_empty());
        assert!(api.deliveries("").await.is_empty());
        receiver.wait(1).await;
    }

    async fn private_addresses_are_refused_without_dev(database: Database) {
        let server = database.server().without_dev().start().await;
        for url in [
            "https://127.0.0.1/hook",
            "https://localhost/hook",
            "https://10.1.2.3/hook",
            "https://192.168.0.1/hook",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/hook",
            "https://[fd00::1]/hook",
            "https://[::ffff:10.0.0.1]/hook",
            "https://2130706433/hook",
        ] {
            let webhook = json!({"name": "w", "url": url, "event_types": ["*"]});
            let answer = server.api.post("webhooks", &webhook).await.expect(422);
            assert_eq!(answer.json()["errors"][0]["pointer"], "/url", "{url}: {}", answer.text());
        }
    }
}
