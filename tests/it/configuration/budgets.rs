//! What a tenant writes is bounded: schemas, lists and forms that are made to be expensive cost others nothing.

use antar_harness::{Call, Receiver, TestServer, on_both_databases};
use serde_json::{Map, Value, json};

/// Fifty definitions, each made of two references to the next one.
fn doubling(link: fn(Value) -> Value) -> Value {
    let mut definitions = Map::new();
    for level in 0..50 {
        let next = json!({ "$ref": format!("#/$defs/{}", level + 1) });
        definitions.insert(level.to_string(), link(next));
    }
    definitions.insert("50".to_owned(), json!({"type": "object"}));
    json!({"$ref": "#/$defs/0", "$defs": definitions})
}

on_both_databases! {
    async fn a_schema_that_doubles_is_refused_at_save(server: TestServer) {
        let links: [fn(Value) -> Value; 3] = [
            |next| json!({"allOf": [next, next]}),
            |next| json!({"oneOf": [next, next]}),
            |next| json!({"properties": {"a": true}, "anyOf": [next, next]}),
        ];
        for link in links {
            let mut below = doubling(link);
            below["properties"] = json!({"a": {"$ref": "#/$defs/0"}});
            below.as_object_mut().unwrap().remove("$ref");
            for schema in [doubling(link), below] {
                let body = json!({"name": "a.b", "schema": schema});
                let problem = server.api.post("event-types", &body).await.expect(422).json();
                assert_eq!(problem["errors"][0]["pointer"], "/schema", "{problem}");
                let detail = problem["errors"][0]["detail"].as_str().unwrap();
                assert!(detail.contains("references multiply"), "{detail}");
            }
        }
        for _ in 0..6 {
            server.api.post("events", &json!({"type": "a.b", "data": {"a": {}}})).await.expect(202);
        }
        Call::new("GET", &format!("{}/healthz", server.base)).send().await.expect(200);
    }

    async fn an_event_whose_validation_would_take_too_long_is_marked_or_refused(server: TestServer) {
        // Both alternatives go into `next`: the work doubles with each level of the event.
        let branch = |name: &str| json!({"properties": {"next": {"$ref": "#"}}, "required": [name]});
        let schema = json!({"anyOf": [branch("a"), branch("b")]});
        for (name, mode) in [("deep.mark", "mark"), ("deep.reject", "reject")] {
            let body = json!({"name": name, "schema": schema, "schema_mode": mode});
            server.api.post("event-types", &body).await.expect(201);
        }
        let nested = |levels: usize| {
            (0..levels).fold(json!({"a": 1}), |inner, _| json!({"a": 1, "next": inner}))
        };
        let post = async |name: &str, data: Value| server.api.post("events", &json!({"type": name, "data": data})).await;
        post("deep.reject", nested(5)).await.expect(202);
        let problem = post("deep.reject", nested(50)).await.expect(422).json();
        assert_eq!(problem["code"], "budget_exceeded", "{problem}");
        let id = post("deep.mark", nested(50)).await.expect(202).json()["id"].as_str().unwrap().to_owned();
        let stored = server.api.get(&format!("events/{id}")).await.expect(200).json();
        assert_eq!(stored["schema_ok"], false);
    }

    async fn a_form_of_many_names_is_one_event(server: TestServer) {
        const NAMES: usize = 160_000;
        let source = json!({"name": "form", "event_type": "form.sent"});
        let source = server.api.post("sources", &source).await.expect(201).json();
        let path = source["url"].as_str().unwrap().splitn(4, '/').nth(3).unwrap().to_owned();
        let form: Vec<String> = (0..NAMES).map(|n| format!("{n:x}=")).chain(["0=again".to_owned()]).collect();
        let answer = Call::new("POST", &format!("{}/{path}", server.base))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.join("&"))
            .send()
            .await;
        answer.expect(200);
        let events = server.api.list("events").await;
        let event = server.api.get(&format!("events/{}", events[0]["id"].as_str().unwrap())).await.expect(200).json();
        let body = event["data"]["body"].as_object().unwrap();
        assert_eq!(body.len(), NAMES);
        assert_eq!(body["0"], json!(["", "again"]));
    }

    async fn one_event_does_not_pass_the_limit_of_known_facet_values(server: TestServer) {
        server.apply_platforms().await;
        let inbox = |n: usize| json!({"type": "conversation.created", "data": {"conversation": {"inbox": {"name": n.to_string()}}}});
        server.api.put("/v1/tenants/default", &json!({"profile": "cekat"})).await.expect(200);
        let list: Vec<String> = (0..40_000).map(|n| n.to_string()).collect();
        let many = json!({"type": "conversation.created", "data": {"conversation": {"inbox": {"name": list}}}});
        server.api.post("events", &many).await.expect(202);
        let batch: Vec<Value> = (50_000..50_100).map(inbox).collect();
        server.api.post("events", &json!(batch)).await.expect(202);
        let max = antar::config::Config::default().tenant.facet_values_max;
        let known = server.api.list("facets/inbox/values").await.len();
        assert_eq!(known, max);
    }

    async fn a_rule_that_takes_too_long_leaves_a_failed_delivery(server: TestServer) {
        let receiver = Receiver::start().await;
        let refused: Vec<String> = (0..90).map(|n| format!("*a*b*{n}*")).collect();
        let webhook = |name: &str, rule: Value| {
            let url = receiver.url(&format!("/{name}"));
            json!({"name": name, "event_types": ["*"], "url": url, "rule": rule})
        };
        let rule = json!({"data": {"list": [{"anything-but": {"wildcard": refused}}]}});
        let mut hostile = Vec::new();
        for number in 0..20 {
            hostile.push(server.api.create_webhook(&webhook(&format!("w{number}"), rule.clone())).await);
        }
        let simple = server.api.create_webhook(&webhook("simple", json!({"data": {"n": [1]}}))).await;
        let list: Vec<String> = (0..70_000).map(|n| format!("aaabbb{}", n % 90)).collect();
        let id = server.api.send(&json!({"type": "a.b", "data": {"n": 1, "list": list}})).await;
        receiver.wait_at("/simple", 1).await;
        server.api.delivery_in("delivered", &format!("webhook_id={}", simple.id)).await;

        let failed = server.api.deliveries("state=failed").await;
        assert_eq!(failed.len(), 20);
        let reasons: Vec<_> = failed.iter().map(|delivery| delivery.reason.as_deref()).collect();
        assert_eq!(reasons, vec![Some("budget_exceeded"); 20]);
        let explained = server.api.explain(&id, &hostile[0]).await;
        assert_eq!((&explained["outcome"], &explained["stage"]), (&json!("failed"), &json!("route")), "{explained}");
        let retry = server.api.post(&format!("deliveries/{}/retry", failed[0].id), &json!({})).await;
        assert_eq!(retry.problem().0, 409);
        let preview = json!({"webhook": hostile[0].id, "event": id});
        let stages = server.api.post("preview", &preview).await.expect(200).json();
        assert_eq!(stages["stages"][1]["outcome"], "fail", "{stages}");

        // Nothing is lost: with a simpler rule a replay sends the event.
        let path = format!("webhooks/{}", hostile[0].id);
        server.api.patch(&path, &json!({"rule": {"data": {"n": [1], "list": null}}})).await.expect(200);
        let replay = json!({"state": "failed"});
        server.api.post(&format!("{path}/replay"), &replay).await.expect(202);
        receiver.wait_at("/w0", 1).await;
        let path = format!("webhooks/{}", hostile[1].id);
        server.api.post(&format!("{path}/replay"), &replay).await.expect(202);
        let again = server.api.deliveries(&format!("state=failed&webhook_id={}", hostile[1].id)).await;
        assert_eq!(again.len(), 2, "still undecided, and said so");
    }

    async fn facets_and_keys_are_bounded_like_rules(server: TestServer) {
        let receiver = Receiver::start().await;
        server.apply_platforms().await;
        let webhook = json!({"name": "facet", "profile": "cekat", "event_types": ["*"],
            "url": receiver.url("/facet"), "facets": {"inbox": {"none": ["Spam"]}}});
        let facet = server.api.create_webhook(&webhook).await;
        server.api.enable(&facet).await;
        let key = "{{#each list}}{{#each ../list}}{{this}}{{/each}}{{/each}}";
        let webhook = json!({"name": "key", "event_types": ["*"], "url": receiver.url("/key"),
            "ordering": {"key": key}});
        let ordered = server.api.create_webhook(&webhook).await;
        let list: Vec<String> = (0..90).map(|n| n.to_string()).collect();
        let names = vec!["x"; 900_000];
        let data = json!({"list": list, "conversation": {"inbox": {"name": names}}});
        server.api.send(&json!({"type": "conversation.created", "data": data})).await;
        receiver.wait_at("/facet", 1).await;
        receiver.wait_at("/key", 1).await;
        let _ = ordered;
    }
}
