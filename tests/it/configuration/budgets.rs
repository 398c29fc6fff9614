//! What a tenant writes is bounded: schemas, lists and forms that are made to be expensive cost others nothing.

use antar_harness::{Call, TestServer, on_both_databases};
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
}
