//! Tenants change their configuration beside each other, and a change compiles what it touches only.

use antar_harness::{Api, BinaryServer, Call, Database, TestServer, eventually, on_both_databases};
use serde_json::{Value, json};

/// A tenant of a server of its own process.
async fn tenant(server: &BinaryServer, name: &str) -> Api {
    let api = server.api.tenant(name);
    api.put(&format!("/v1/tenants/{name}"), &json!({})).await.expect(201);
    api
}

fn webhook(name: &str) -> Value {
    json!({"name": name, "url": "http://127.0.0.1:9/w", "event_types": ["a.*"]})
}

/// Webhooks that the process has compiled so far.
async fn compiled(server: &BinaryServer) -> u64 {
    let text = server.api.get("/metrics").await.expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix("antar_webhooks_compiled_total "));
    line.map_or(0, |count| count.parse().unwrap())
}

/// Starts the server again with `faults`, and waits until it is ready.
async fn with_faults(server: &mut BinaryServer, faults: &str) {
    server.kill();
    assert!(server.start_failing(faults).await, "{}", server.log());
}

/// Starts a call, and waits until it has reached the armed point.
async fn held(
    server: &BinaryServer,
    point: &str,
    call: Call,
) -> tokio::task::JoinHandle<antar_harness::Answer> {
    let before = reached(server, point);
    let call = tokio::spawn(call.send());
    eventually("the call is held", async || (reached(server, point) > before).then_some(())).await;
    call
}

fn reached(server: &BinaryServer, point: &str) -> usize {
    let log = server.log();
    log.lines().filter(|line| line.contains("a fault takes effect") && line.contains(point)).count()
}

on_both_databases! {
    async fn a_change_compiles_what_it_touches_only(database: Database) {
        let server = BinaryServer::start(database).await;
        let profile = |body: &str| json!({"payload": [{"rest": "data"}, {"key": body, "const": 1}]});
        for name in ["one", "two"] {
            server.api.put(&format!("/v1/profiles/{name}"), &profile("x")).await.expect(201);
        }
        let acme = tenant(&server, "acme").await;
        for n in 0..6 {
            let mut webhook = webhook(&format!("w{n}"));
            if n < 2 {
                webhook["profile"] = json!("one");
            }
            acme.create_webhook(&webhook).await;
        }
        let mut before = compiled(&server).await;
        let mut touched = async |count: u64, what: &str| {
            let after = compiled(&server).await;
            assert_eq!(after - before, count, "{what}");
            before = after;
        };
        acme.put("/v1/tenants/acme", &json!({"weight": 7})).await.expect(200);
        touched(0, "a weight").await;
        acme.put("/v1/tenants/acme", &json!({"retention": {"events_s": 86_400}})).await.expect(200);
        touched(0, "a retention").await;
        acme.put("event-types/a.b", &json!({"example": {"x": 1}})).await.expect(201);
        server.api.put("/v1/event-types/a.c", &json!({"example": {"x": 1}})).await.expect(201);
        touched(0, "event types").await;
        acme.put("secrets/s", &json!({"value": "v"})).await.expect(201);
        touched(0, "a secret").await;
        server.api.put("/v1/profiles/one", &profile("y")).await.expect(200);
        touched(2, "a profile that two webhooks use").await;
        acme.put("/v1/tenants/acme", &json!({"profile": "two"})).await.expect(200);
        touched(4, "another profile for the webhooks without one of their own").await;
        acme.put("/v1/tenants/acme", &json!({"profile": "two", "weight": 2})).await.expect(200);
        touched(0, "a weight beside the same profile").await;
    }

    async fn a_tenant_waits_for_no_other_tenants_compile(database: Database) {
        let mut server = BinaryServer::start(database).await;
        let (acme, other) = (tenant(&server, "acme").await, tenant(&server, "other").await);
        with_faults(&mut server, "change.compile=delay:60000@1").await;
        let slow = held(&server, "change.compile", acme.call("POST", "webhooks").json(&webhook("w"))).await;
        other.create_webhook(&webhook("w")).await;
        other.put("event-types/a.b", &json!({"schema": {"type": "object"}})).await.expect(201);
        // Of the tenant itself, what needs no compiling goes on as well.
        acme.put("secrets/s", &json!({"value": "v"})).await.expect(201);
        acme.put("/v1/tenants/acme", &json!({"weight": 3})).await.expect(200);
        assert!(!slow.is_finished(), "it is still held");
    }

    async fn a_tenant_waits_for_no_other_tenants_change(database: Database) {
        let mut server = BinaryServer::start(database).await;
        let (acme, other) = (tenant(&server, "acme").await, tenant(&server, "other").await);
        with_faults(&mut server, "change.store=delay:60000@1").await;
        let slow = held(&server, "change.store", acme.call("POST", "webhooks").json(&webhook("w"))).await;
        let made = other.create_webhook(&webhook("w")).await;
        other.patch(&format!("webhooks/{}", made.id), &json!({"name": "v"})).await.expect(200);
        other.put("/v1/tenants/other", &json!({"weight": 3})).await.expect(200);
        other.post("keys", &json!({"name": "k", "scopes": ["read"]})).await.expect(201);
        assert!(!slow.is_finished(), "it is still held");
    }

    async fn of_two_saves_at_once_the_one_made_from_an_older_revision_is_refused(database: Database) {
        let mut server = BinaryServer::start(database).await;
        let acme = tenant(&server, "acme").await;
        let path = format!("webhooks/{}", acme.create_webhook(&webhook("w")).await.id);
        with_faults(&mut server, "change.compile=delay:2000@1").await;
        let patch = acme.call("PATCH", &path).json(&json!({"name": "slow"}));
        let slow = held(&server, "change.compile", patch).await;
        // The compile of the same tenant waits for its turn, and is stored after the first one.
        let put = acme.put(&path, &webhook("put")).await;
        let slow = slow.await.unwrap();
        let stands = acme.get(&path).await.json();
        // Whichever came first was stored first; the patch holds only if it was that one.
        match slow.status {
            200 => assert_eq!((put.status, &stands["revision"]), (200, &json!(3))),
            _ => assert_eq!((slow.problem(), &stands["revision"]), ((409, "conflict".to_owned()), &json!(2))),
        }
        assert_eq!(stands["name"], "put");
    }

    async fn what_goes_away_while_a_webhook_is_compiled_is_noticed(database: Database) {
        let mut server = BinaryServer::start(database).await;
        let acme = tenant(&server, "acme").await;
        acme.put("secrets/s", &json!({"value": "v"})).await.expect(201);
        let mut named = webhook("w");
        named["headers"] = json!({"x-token": "{{antar.secret.s}}"});
        // The webhook is compiled while the secret is still there, and stored after it has gone.
        with_faults(&mut server, "change.store=delay:2000@1").await;
        let going = held(&server, "change.store", acme.call("DELETE", "secrets/s")).await;
        let answer = acme.post("webhooks", &named).await;
        going.await.unwrap().expect(204);
        assert_eq!(answer.problem(), (422, "template_invalid".to_owned()), "{}", answer.text());
        assert_eq!(acme.list("webhooks").await.len(), 0);

        with_faults(&mut server, "change.compile=delay:1500@1").await;
        let saving = held(&server, "change.compile", acme.call("POST", "webhooks").json(&webhook("w"))).await;
        server.api.delete("/v1/tenants/acme").await.expect(204);
        saving.await.unwrap().expect(404);
        server.api.put("/v1/tenants/acme", &json!({})).await.expect(201);
        assert_eq!(acme.list("webhooks").await.len(), 0);
    }

    async fn a_profile_is_replaced_while_a_webhook_is_compiled_for_the_old_one(database: Database) {
        let mut server = BinaryServer::start(database).await;
        let facet = |name: &str| json!({"payload": [{"rest": "data"}], "facets": [{"name": name, "path": "x"}]});
        server.api.put("/v1/profiles/crm", &facet("old")).await.expect(201);
        let acme = tenant(&server, "acme").await;
        let mut webhook = webhook("w");
        webhook["profile"] = json!("crm");
        webhook["facets"] = json!({"old": ["1"]});
        with_faults(&mut server, "change.store=delay:1500@1").await;
        let saving = held(&server, "change.store", acme.call("POST", "webhooks").json(&webhook)).await;
        // Either the webhook comes first, and the profile must keep its facet; or it is held against the new one.
        let profile = server.api.put("/v1/profiles/crm", &facet("new")).await;
        let saved = saving.await.unwrap();
        assert_eq!((saved.status, profile.status), (201, 409), "{} {}", saved.text(), profile.text());
        server.kill();
        server.start_again().await;
        assert_eq!(acme.list("webhooks").await.len(), 1);
    }

    async fn a_change_whose_caller_hangs_up_is_stored_and_known(database: Database) {
        let mut server = BinaryServer::start(database).await;
        let acme = tenant(&server, "acme").await;
        with_faults(&mut server, "change.store=delay:1000@1").await;
        let saving = held(&server, "change.store", acme.call("PUT", "secrets/s").json(&json!({"value": "v"}))).await;
        saving.abort();
        eventually("the secret is known", async || {
            (acme.list("secrets").await.len() == 1).then_some(())
        })
        .await;
    }

    async fn schemas_that_multiply_hold_up_no_save(server: TestServer) {
        // Sixteen levels of forty names each: more places than can be looked at.
        let names = (0..40).map(|n| (format!("n{n}"), json!({"$ref": "#"})));
        let schema = json!({"properties": names.collect::<serde_json::Map<_, _>>()});
        let body = json!({"name": "a.b", "schema": schema, "example": {"n0": {"n1": {}}}});
        server.api.post("event-types", &body).await.expect(201);
        let mut webhook = webhook("w");
        webhook["body"] = json!("{\"a\": {{n0.n1.n2.n3.n4}}, \"b\": {{nope}}}");
        webhook["event_types"] = json!(["a.b"]);
        webhook["rule"] = json!({"data": {"n0": {"n1": {"n2": ["x"]}}}});
        server.api.create_webhook(&webhook).await;
        let listed = server.api.get("event-types/a.b/variables").await.expect(200).json();
        assert!(listed["data"].as_array().unwrap().len() <= 1_000);
        assert!(listed.to_string().len() < 4 << 20);
    }

    async fn names_as_long_as_a_template_are_compared_with_none(server: TestServer) {
        let (one, other) = ("a".repeat(60_000), "b".repeat(60_000));
        let mut example = serde_json::Map::new();
        example.insert(one, json!(1));
        let body = json!({"name": "a.b", "example": example});
        server.api.post("event-types", &body).await.expect(201);
        let mut webhook = webhook("w");
        webhook["event_types"] = json!(["a.b"]);
        webhook["body"] = json!(format!("{{\"a\": {{{{{other}}}}}}}"));
        server.api.create_webhook(&webhook).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_compiles_what_a_change_touches_only() {
    let Some(database) = Database::postgres().await else { return };
    let first = BinaryServer::start(database).await;
    let second = first.start_beside().await;
    let (acme, there) = (tenant(&first, "acme").await, second.api.tenant("acme"));
    let mut paths = Vec::new();
    for n in 0..4 {
        let made = acme.create_webhook(&webhook(&format!("w{n}"))).await;
        paths.push(format!("webhooks/{}", made.id));
    }
    let knows = async |path: &str, member: &str, value: Value| {
        eventually(&format!("the second node knows {path}"), async || {
            let answer = there.get(path).await;
            (answer.status == 200 && answer.json()[member] == value).then_some(())
        })
        .await;
    };
    for (n, path) in paths.iter().enumerate() {
        knows(path, "name", json!(format!("w{n}"))).await;
    }
    let before = compiled(&second).await;
    acme.put("/v1/tenants/acme", &json!({"weight": 7})).await.expect(200);
    knows("/v1/tenants/acme", "weight", json!(7)).await;
    acme.put("event-types/a.b", &json!({"description": "x"})).await.expect(201);
    knows("event-types/a.b", "description", json!("x")).await;
    let profile = json!({"payload": [{"rest": "data"}], "description": "new"});
    first.api.put("/v1/profiles/unused", &profile).await.expect(201);
    knows("/v1/profiles/unused", "description", json!("new")).await;
    assert_eq!(compiled(&second).await, before);
    acme.patch(&paths[0], &json!({"name": "changed"})).await.expect(200);
    knows(&paths[0], "name", json!("changed")).await;
    assert_eq!(compiled(&second).await, before + 1);
}
