//! A tenant sees its own things only; private addresses are nobody's.

use std::collections::BTreeMap;

use antar_harness::{Answer, Api, Database, Receiver, TestServer, eventually, on_both_databases};
use antar_test_guests::Guest;
use serde_json::{Value, json};

/// Occurs in all that the tenant names whose things others look for, and nowhere else.
const MARK: &str = "zebra";
/// Stands in its place for things that nobody has.
const NO_MARK: &str = "quagga";
/// An id that nothing has.
const NO_ID: &str = "0199b1c0-7a3e-7d52-9c55-0d8a0c1f2e3d";
/// Calls outside of tenants that a tenant's key may make.
const OPEN_TO_TENANTS: [&str; 6] = [
    "/v1/profiles",
    "/v1/profiles/{name}",
    "/v1/event-types",
    "/v1/event-types/{type}",
    "/openapi.json",
    "/docs",
];
/// Members of answers that differ from call to call.
const FLEETING: [&str; 8] =
    ["request_id", "id", "created_at", "updated_at", "accepted_at", "rejected_at", "secret", "url"];

/// One of everything that a tenant can have; its ids by what stands before them in paths.
async fn furnish(
    server: &TestServer,
    api: &Api,
    receiver: &Receiver,
) -> BTreeMap<&'static str, String> {
    let facet = json!({"name": "inbox", "path": "inbox"});
    let profile = json!({"payload": [{"rest": "data"}], "facets": [facet]});
    server.api.put("/v1/profiles/zoo", &profile).await.expect(201);
    let webhook = json!({"name": format!("{MARK}-hook"), "url": receiver.url("/w"), "event_types": ["*"], "profile": "zoo"});
    let webhook = api.create_webhook(&webhook).await;
    let source = json!({"name": format!("{MARK}-source"), "event_type": "in.call"});
    let source = api.post("sources", &source).await.expect(201).json();
    api.put(&format!("secrets/{MARK}"), &json!({"value": "v"})).await.expect(201);
    let upload = api.call("POST", &format!("plugins?name={MARK}"));
    let upload = upload.header("content-type", "application/wasm").body(Guest::ByLabel.wasm());
    upload.send().await.expect(201);
    api.put(&format!("event-types/{MARK}.type"), &json!({})).await.expect(201);
    let values = json!({"values": [{"value": MARK}]});
    api.put("facets/inbox/values", &values).await.expect(200);
    let event_id = format!("{MARK}-event");
    api.send(&json!({"type": format!("{MARK}.type"), "id": event_id, "data": {"inbox": MARK}}))
        .await;
    api.post("events", &json!({"type": format!("{MARK} {MARK}"), "data": {}})).await.expect(422);
    let rejection =
        eventually("a rejection is kept", async || api.list("rejections").await.pop()).await;
    let delivery = api.delivery_in("delivered", &format!("event_id={event_id}")).await;
    let again = json!({"event_ids": [event_id]});
    let replay =
        api.post(&format!("webhooks/{}/replay", webhook.id), &again).await.expect(202).json();
    api.create_key(&["read"]).await;
    let key = api.list("keys").await.remove(0);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    BTreeMap::from([
        ("webhooks", webhook.id),
        ("sources", text(&source["id"])),
        ("secrets", MARK.to_owned()),
        ("plugins", MARK.to_owned()),
        ("event-types", format!("{MARK}.type")),
        ("facets", "inbox".to_owned()),
        ("profiles", "zoo".to_owned()),
        ("events", event_id),
        ("deliveries", delivery.id),
        ("rejections", text(&rejection["id"])),
        ("replays", text(&replay["id"])),
        ("keys", text(&key["id"])),
    ])
}

/// A call of the API's description, with ids put in.
struct Described {
    method: String,
    /// With `{tenant}` still in it, if it is a tenant's.
    path: String,
    body: Value,
    /// It names a thing by an id that no two tenants share.
    by_own_id: bool,
}

fn described(
    path: &str,
    method: &str,
    operation: &Value,
    ids: &BTreeMap<&str, String>,
) -> Described {
    let mut parts: Vec<&str> = Vec::new();
    let mut by_own_id = false;
    for part in path.split('/') {
        let before = parts.last().copied().unwrap_or_default();
        parts.push(match part {
            "{tenant}" => part,
            _ if part.starts_with('{') => {
                by_own_id |= !["secrets", "plugins", "event-types", "facets"].contains(&before);
                ids.get(before).unwrap_or_else(|| panic!("{path}: what is an id of `{before}`?"))
            }
            _ => part,
        });
    }
    let mut path = parts.join("/");
    let query = operation["parameters"].as_array().into_iter().flatten();
    for parameter in query.filter(|p| p["in"] == "query" && p["required"] == true) {
        let (name, value) = match parameter["name"].as_str().unwrap() {
            name @ "event" => (name, &ids["events"]),
            name @ "name" => (name, &ids["plugins"]),
            other => panic!("{path}: what is a value of `{other}`?"),
        };
        path = format!("{path}?{name}={value}");
    }
    let webhook =
        json!({"name": "other", "url": "http://127.0.0.1:9/w", "event_types": ["none.t"]});
    let body = match (method, path.rsplit('/').next().unwrap()) {
        (_, "revert") => json!({"revision": 1}),
        (_, "values") => json!({"values": []}),
        (_, "replay") => json!({"event_ids": [ids["events"]]}),
        (_, "preview") => json!({"webhook": ids["webhooks"], "event": ids["events"]}),
        ("put", _) if path.contains("/secrets/") => json!({"value": "v"}),
        ("put", _) if path.contains("/webhooks/") => webhook,
        _ if path.contains("/plugins/") => json!({"event": {"type": "a.b", "data": {}}}),
        _ => json!({}),
    };
    Described { method: method.to_owned(), path, body, by_own_id }
}

/// Status and body without what differs from call to call, and without ids.
fn told(answer: &Answer, ids: &[&String]) -> (u16, String) {
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else {
        return (answer.status, answer.text());
    };
    for member in FLEETING {
        if let Some(body) = body.as_object_mut() {
            body.remove(member);
        }
    }
    let text = ids.iter().fold(body.to_string(), |text, id| text.replace(*id, "ID"));
    (answer.status, text)
}

/// Everything that a tenant sees of its own.
async fn possessions(api: &Api) -> Vec<(&'static str, Vec<Value>)> {
    let mut all = Vec::new();
    for list in [
        "webhooks",
        "sources",
        "secrets",
        "plugins",
        "event-types",
        "keys",
        "events",
        "deliveries",
        "replays",
    ] {
        all.push((list, api.list(list).await));
    }
    all
}

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

    async fn no_call_reaches_another_tenant(server: TestServer) {
        let receiver = Receiver::start().await;
        let victim = server.create_tenant("victim").await;
        let ids = furnish(&server, &victim, &receiver).await;
        let unknown: BTreeMap<&str, String> = ids.iter().map(|(kind, id)| {
            let other = id.replace(MARK, NO_MARK);
            (*kind, if other == *id { NO_ID.to_owned() } else { other })
        }).collect();
        receiver.wait(2).await;
        victim.delivery_that("is replayed", "", |d| d.state == "delivered" && d.id != ids["deliveries"]).await;
        let before = possessions(&victim).await;
        let intruder = server.create_tenant("intruder").await;
        let intruder = intruder.with_key(Some(&intruder.create_key(&["manage"]).await));
        let all_ids: Vec<&String> = ids.values().chain(unknown.values()).collect();
        let call = async |call: &Described, tenant: &str| {
            let path = call.path.replace("{tenant}", tenant);
            intruder.call(&call.method.to_uppercase(), &path).json(&call.body).send().await
        };
        let document = server.api.get("/openapi.json").await.expect(200).json();
        let mut checked = 0;
        for (path, operations) in document["paths"].as_object().unwrap() {
            if path.starts_with("/in/") || ["/healthz", "/readyz"].contains(&path.as_str()) {
                continue;
            }
            for (method, operation) in operations.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
                let what = format!("{method} {path}");
                let theirs = described(path, method, operation, &ids);
                checked += 1;
                if !path.starts_with("/v1/tenants/{tenant}") {
                    let answer = call(&theirs, "").await;
                    if method == "get" && OPEN_TO_TENANTS.contains(&path.as_str()) {
                        assert!(matches!(answer.status, 200 | 404), "{what}: {}", answer.text());
                        assert!(!answer.text().contains(MARK), "{what}: {}", answer.text());
                    } else {
                        assert_eq!(answer.problem(), (403, "operator_only".to_owned()), "{what}");
                    }
                    continue;
                }
                // The other tenant is not there, any more than one that nobody has made.
                let at_theirs = call(&theirs, "victim").await;
                assert_eq!(at_theirs.problem(), (404, "not_found".to_owned()), "{what}");
                assert_eq!(told(&at_theirs, &[]), told(&call(&theirs, "nobody").await, &[]), "{what}");
                if theirs.path.ends_with("/stream") {
                    continue;
                }
                if path.matches('{').count() == 1 {
                    if method == "get" {
                        let own = call(&theirs, "intruder").await.expect(200).text();
                        assert!(!all_ids.iter().any(|id| own.contains(id.as_str())), "{what}: {own}");
                    }
                    continue;
                }
                // In one's own tenant their ids are as good as any that nothing has.
                let nothings = described(path, method, operation, &unknown);
                let (their_id, no_id) = (call(&theirs, "intruder").await, call(&nothings, "intruder").await);
                assert_eq!(told(&their_id, &all_ids), told(&no_id, &all_ids), "{what}");
                if theirs.by_own_id {
                    assert_eq!(their_id.status, 404, "{what}: {}", their_id.text());
                }
            }
        }
        assert!(checked > 60, "the OpenAPI document lists {checked} calls");
        assert_eq!(possessions(&victim).await, before);
    }

    async fn a_stream_has_nothing_of_others(server: TestServer) {
        let receiver = Receiver::start().await;
        let (one, two) = (server.create_tenant("one").await, server.create_tenant("two").await);
        for api in [&one, &two] {
            let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]});
            api.create_webhook(&webhook).await;
        }
        let listener = two.with_key(Some(&two.create_key(&["read"]).await));
        let mut stream = listener.open("deliveries/stream").await;
        stream.until(": listening").await;
        one.send(&json!({"type": "a.b", "id": MARK, "data": {}})).await;
        one.delivery_in("delivered", "").await;
        two.send(&json!({"type": "a.b", "id": "own-event", "data": {}})).await;
        stream.until("own-event").await;
        assert!(!stream.text().contains(MARK), "{}", stream.text());
        receiver.wait(2).await;
    }

    async fn an_idempotency_key_is_a_tenants_own(server: TestServer) {
        let (one, two) = (server.create_tenant("one").await, server.create_tenant("two").await);
        for (api, kind) in [(&one, "a.one"), (&two, "a.two")] {
            let event = json!({"type": kind, "data": {}});
            for _ in 0..2 {
                api.call("POST", "events").header("idempotency-key", "same").json(&event).send().await.expect(202);
            }
            let types: Vec<_> = api.list("events").await.iter().map(|row| row["type"].clone()).collect();
            assert_eq!(types, [kind]);
        }
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
