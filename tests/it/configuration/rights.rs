//! What a key or a tenant may do ends with it, and what is the operator's stays the operator's.

use antar_harness::{Api, Database, Receiver, Reply, TestServer, eventually, on_both_databases};
use serde_json::{Value, json};

const DAY_S: u64 = 86_400;

async fn key_id(api: &Api) -> String {
    let keys = api.list("keys").await;
    keys.last().unwrap()["id"].as_str().unwrap().to_owned()
}

/// A webhook for everything.
async fn subscribe(api: &Api, receiver: &Receiver) {
    let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]});
    api.create_webhook(&webhook).await;
}

on_both_databases! {
    async fn a_stream_ends_with_its_key(server: TestServer) {
        let receiver = Receiver::start().await;
        let api = server.create_tenant("shop").await;
        subscribe(&api, &receiver).await;
        let holder = api.with_key(Some(&api.create_key(&["read"]).await));
        let mut stream = holder.open("deliveries/stream").await;
        stream.until(": listening").await;
        let first = api.send(&json!({"type": "a.b", "id": "first", "data": {}})).await;
        stream.until(&first).await;
        api.delete(&format!("keys/{}", key_id(&api).await)).await.expect(204);
        api.send(&json!({"type": "a.b", "id": "second", "data": {}})).await;
        let told = stream.to_end().await;
        assert!(told.contains("event: ended") && told.contains("the key was deleted"), "{told}");
        assert!(!told.contains("second"), "{told}");
        receiver.wait(2).await;
    }

    async fn a_tenant_created_anew_shares_nothing_with_the_former(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply_with(|_, nth| if nth == 2 { Reply::hang() } else { Reply::ok() });
        let former = server.create_tenant("phoenix").await;
        subscribe(&former, &receiver).await;
        let listen = async |api: &Api| {
            let mut stream = api.open("deliveries/stream").await;
            stream.until(": listening").await;
            stream
        };
        let own = former.with_key(Some(&former.create_key(&["manage"]).await));
        // One by the tenant's key, one by the operator's, which lives on.
        let (by_tenant, by_operator) = (listen(&own).await, listen(&former).await);
        let event = json!({"type": "a.b", "id": "same", "data": {"whose": "former"}});
        let once = async |api: &Api, event: &Value| {
            api.call("POST", "events").header("idempotency-key", "one").json(event).send().await
        };
        once(&former, &event).await.expect(202);
        former.delivery_in("delivered", "event_id=same").await;
        // Its receiver hangs while the tenant goes.
        former.send(&json!({"type": "a.b", "id": "hangs", "data": {}})).await;
        receiver.wait(2).await;
        former.delete("/v1/tenants/phoenix").await.expect(204);
        assert_eq!(own.get("events").await.problem().0, 401);

        let new = server.create_tenant("phoenix").await;
        for list in ["events", "deliveries", "webhooks", "secrets", "keys", "replays", "sources"] {
            assert!(new.list(list).await.is_empty(), "{list}");
        }
        subscribe(&new, &receiver).await;
        // The same key with another body, and an id that the former had.
        let event = json!({"type": "a.b", "id": "same", "data": {"whose": "reborn"}});
        let answer = once(&new, &event).await.expect(202).json();
        assert_eq!((&answer["duplicate"], &answer["deliveries"]), (&json!(false), &json!(1)));
        new.delivery_in("delivered", "event_id=same").await;
        for stream in [by_tenant, by_operator] {
            let told = stream.to_end().await;
            assert!(told.contains("the tenant was deleted"), "{told}");
            assert!(told.contains("former") && !told.contains("reborn"), "{told}");
        }
        let ids: Vec<_> = new.list("events").await.iter().map(|row| row["id"].clone()).collect();
        assert_eq!(ids, ["same"]);
        receiver.wait(3).await;
    }

    async fn a_tenant_leaves_the_operators_settings_alone(server: TestServer) {
        let operator = server.create_tenant("shop").await;
        let at = "/v1/tenants/shop";
        let month = 30 * DAY_S;
        let settings = json!({"weight": 3, "retention": {"events_s": month}});
        operator.put(at, &settings).await.expect(200);
        let own = operator.with_key(Some(&operator.create_key(&["manage"]).await));
        for (settings, member) in [
            (json!({"weight": 100}), "/weight"),
            (json!({"retention": {"events_s": month + 1}}), "/retention/events_s"),
            (json!({"retention": {"events_s": 0}}), "/retention/events_s"),
            (json!({"retention_max": {"events_s": 0}}), "/retention_max"),
        ] {
            let refused = own.put(at, &settings).await;
            assert_eq!(refused.problem(), (403, "operator_only".to_owned()), "{settings}");
            assert!(refused.text().contains(member), "{}", refused.text());
        }
        // It may shorten, put back what it read, and lengthen again up to what the operator said.
        for seconds in [7 * DAY_S, 14 * DAY_S, month] {
            let answer = own.put(at, &json!({"retention": {"events_s": seconds}})).await.expect(200);
            let shown = answer.json();
            assert_eq!((&shown["weight"], &shown["retention"]["events_s"]), (&json!(3), &json!(seconds)));
            own.put(at, &shown).await.expect(200);
        }
        own.put(at, &json!({"retention": {"events_s": 7 * DAY_S}})).await.expect(200);
        let reset = own.put(at, &json!({})).await.expect(200).json();
        assert_eq!(reset["retention"]["events_s"], month);
        // Nor by way of an event type.
        let kind = |seconds: u64| json!({"name": "a.b", "retention": {"events_s": seconds}});
        for seconds in [0, month + 1] {
            let refused = own.put("event-types/a.b", &kind(seconds)).await;
            assert_eq!(refused.problem(), (403, "operator_only".to_owned()));
            assert_eq!(own.post("event-types", &kind(seconds)).await.problem().0, 403);
        }
        own.put("event-types/a.b", &kind(month)).await.expect(201);
        operator.put("event-types/a.b", &kind(0)).await.expect(200);
        // What the operator set there may be put back as it is.
        own.put("event-types/a.b", &kind(0)).await.expect(200);
        // The operator takes a month away, and that is what holds.
        operator.put(at, &json!({"retention": {"events_s": DAY_S}})).await.expect(200);
        assert_eq!(own.put(at, &json!({"retention": {"events_s": month}})).await.problem().0, 403);
    }

    async fn a_deleted_tenants_key_does_not_bring_it_back(server: TestServer) {
        let api = server.create_tenant("gone").await;
        let own = api.with_key(Some(&api.create_key(&["manage"]).await));
        api.delete("/v1/tenants/gone").await.expect(204);
        assert_eq!(own.put("/v1/tenants/gone", &json!({})).await.problem().0, 401);
        assert_eq!(api.get("/v1/tenants/gone").await.problem().0, 404);
    }

    async fn how_long_the_operator_keeps_events_is_not_for_tenants(server: TestServer) {
        let kind = json!({"name": "p.kept", "retention": {"events_s": 77}});
        let profile = json!({"payload": [{"rest": "data"}], "event_types": [kind]});
        server.api.put("/v1/profiles/p", &profile).await.expect(201);
        server.api.put("/v1/event-types/o.kept", &json!({"retention": {"events_s": 77}})).await.expect(201);
        let operator = server.create_tenant("shop").await;
        operator.put("/v1/tenants/shop", &json!({"profile": "p"})).await.expect(200);
        let own = operator.with_key(Some(&operator.create_key(&["manage"]).await));
        for path in ["/v1/profiles", "/v1/profiles/p", "/v1/event-types", "/v1/event-types/o.kept", "event-types",
            "event-types/p.kept"] {
            assert!(operator.get(path).await.expect(200).text().contains("77"), "{path}");
            let shown = own.get(path).await.expect(200).text();
            assert!(shown.contains(".kept") && !shown.contains("77"), "{path}: {shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_operator_key_stays_deleted() {
    let server = Database::sqlite().server().start().await;
    let body = json!({"name": "next", "scopes": ["manage"]});
    let next = server.api.post("/v1/keys", &body).await.expect(201).json();
    let next = next["key"].as_str().unwrap().to_owned();
    let by_next = server.api.with_key(Some(&next));
    let first = by_next.get("/v1/keys").await.expect(200).json()["data"][0].clone();
    assert_eq!(first["name"], "operator");
    by_next.delete(&format!("/v1/keys/{}", first["id"].as_str().unwrap())).await.expect(204);
    assert_eq!(server.api.get("webhooks").await.problem().0, 401);
    // `operator.key` still has it, and every start reads that file.
    let server = server.restart().await;
    assert_eq!(server.api.get("webhooks").await.problem().0, 401);
    let by_next = server.api.with_key(Some(&next));
    by_next.get("webhooks").await.expect(200);
    assert_eq!(by_next.list("/v1/keys").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_keys_and_tenants_that_another_node_deletes() {
    let Some(database) = Database::postgres().await else { return };
    let here = database.server().start().await;
    let there = here.another_node().start().await;
    let shop = here.create_tenant("shop").await;
    let key = shop.create_key(&["read"]).await;
    let there_shop = there.api.tenant("shop");
    eventually("the other node knows the key", async || {
        (there_shop.with_key(Some(&key)).get("webhooks").await.status == 200).then_some(())
    })
    .await;
    let mut by_key = there_shop.with_key(Some(&key)).open("deliveries/stream").await;
    let mut by_operator = there_shop.open("deliveries/stream").await;
    by_key.until(": listening").await;
    by_operator.until(": listening").await;
    shop.delete(&format!("keys/{}", key_id(&shop).await)).await.expect(204);
    assert!(by_key.to_end().await.contains("the key was deleted"));
    here.api.delete("/v1/tenants/shop").await.expect(204);
    here.create_tenant("shop").await;
    assert!(by_operator.to_end().await.contains("the tenant was deleted"));
}
