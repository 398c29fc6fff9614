//! What is answered to posted events.

use antar_harness::{Database, Receiver, TestServer, on_both_databases};
use serde_json::{Value, json};

on_both_databases! {
    async fn an_accepted_event_tells_its_id_and_how_many_want_it(server: TestServer) {
        let receiver = Receiver::start().await;
        for name in ["one", "two"] {
            let url = receiver.url(&format!("/{name}"));
            server.api.create_webhook(&json!({"name": name, "url": url, "event_types": ["a.*"]})).await;
        }
        let answer = server.api.post("events", &json!({"type": "a.b", "id": "e-1", "data": {}})).await.expect(202);
        assert_eq!(answer.json(), json!({"id": "e-1", "duplicate": false, "deliveries": 2}));
        let answer = server.api.post("events", &json!({"type": "c", "id": "e-2", "data": {}})).await.expect(202);
        assert_eq!(answer.json(), json!({"id": "e-2", "duplicate": false, "deliveries": 0}));
        receiver.wait(2).await;
    }

    async fn a_known_id_is_a_duplicate_with_the_first_ones_figures(server: TestServer) {
        let receiver = Receiver::start().await;
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        server.api.send(&json!({"type": "a.b", "id": "same", "data": {"n": 1}})).await;
        let again = server.api.post("events", &json!({"type": "a.b", "id": "same", "data": {"n": 2}})).await.expect(202);
        assert_eq!(again.json(), json!({"id": "same", "duplicate": true, "deliveries": 1}));
        // Ids count for each source apart.
        let other = json!({"type": "a.b", "id": "same", "attributes": {"source": "billing"}, "data": {"n": 3}});
        assert_eq!(server.api.post("events", &other).await.expect(202).json()["duplicate"], false);
        let bodies: Vec<Value> = receiver.wait(2).await.iter().map(|request| request.json()["data"]["n"].clone()).collect();
        assert!(!bodies.contains(&json!(2)), "the duplicate was delivered");
    }

    async fn an_array_is_checked_one_by_one(server: TestServer) {
        let receiver = Receiver::start().await;
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        let events = json!([
            {"type": "a.b", "id": "good-1", "data": {}},
            {"type": "not a type", "data": {}},
            {"type": "a.b", "id": "good-2", "data": {}},
            {"type": "a.b", "data": [1]},
        ]);
        let results = results(&server.api.post("events", &events).await.expect(202).json());
        assert_eq!(results[0]["id"], "good-1");
        assert_eq!(results[2]["id"], "good-2");
        for bad in [&results[1], &results[3]] {
            assert!(bad["problem"].is_object() && bad.get("id").is_none(), "{bad}");
        }
        receiver.wait(2).await;
    }

    async fn an_array_of_bad_events_is_refused(server: TestServer) {
        let events = json!([{"type": "not a type", "data": {}}, {"data": {}}]);
        let (status, code) = server.api.post("events", &events).await.problem();
        assert_eq!(status, 422, "{code}");
    }

    async fn what_is_no_event_is_refused_with_where_and_why(server: TestServer) {
        let cases = [
            (json!({"data": {}}), "/type"),
            (json!({"type": "a..b", "data": {}}), "/type"),
            (json!({"type": "a.b", "data": 1}), "/data"),
            (json!({"type": "a.b", "id": "has\ta tab", "data": {}}), "/id"),
            (json!({"type": "a.b", "timestamp": "yesterday", "data": {}}), "/timestamp"),
            (json!({"type": "a.b", "attributes": {"a": 1}, "data": {}}), "/attributes/a"),
        ];
        for (event, pointer) in cases {
            let answer = server.api.post("events", &event).await.expect(422);
            answer.problem();
            let pointers: Vec<Value> =
                answer.json()["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
            assert!(pointers.contains(&json!(pointer)), "{event}: {}", answer.text());
        }
        let answer = server.api.call("POST", "events").header("content-type", "application/json").body("{no").send().await;
        assert_eq!(answer.problem().0, 400);
    }

    async fn data_arrives_as_it_was_posted_to_the_byte(server: TestServer) {
        let receiver = Receiver::start().await;
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        // Order, escapes, number text and duplicate-looking keys; only whitespace goes.
        let data = r#"{"z":1.50,"a":[1e400,-0,9007199254740993],"\u0041":"\u00e9\/ \ud83d\ude00","b":{},"c":""}"#;
        let spaced = data.replace("\":", "\" : \n").replace(",\"", " ,\t\"");
        let body = format!(r#"{{"type":"a.b","timestamp":"2026-03-10T19:00:00+07:00","data": {spaced} }}"#);
        server.api.call("POST", "events").header("content-type", "application/json").body(body).send().await.expect(202);
        let request = receiver.wait(1).await.remove(0);
        let wanted = format!(r#"{{"type":"a.b","timestamp":"2026-03-10T12:00:00.000Z","data":{data}}}"#);
        assert_eq!(request.text(), wanted);
    }

    async fn an_idempotency_key_covers_the_whole_request(server: TestServer) {
        let post = |body: Value| server.api.call("POST", "events").header("idempotency-key", "k-1").json(&body).send();
        let first = post(json!({"type": "a.b", "data": {"n": 1}})).await.expect(202);
        let again = post(json!({"type": "a.b", "data": {"n": 1}})).await.expect(202);
        assert_eq!(first.json(), again.json());
        assert_eq!(post(json!({"type": "a.b", "data": {"n": 2}})).await.problem().0, 409);
    }

    async fn cloud_events_are_taken_in_all_three_modes(server: TestServer) {
        let receiver = Receiver::start().await;
        let rule = json!({"attributes": {"subject": ["contact-1"]}});
        server
            .api
            .create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"], "rule": rule}))
            .await;
        let event = |id: &str| {
            json!({"specversion": "1.0", "id": id, "source": "/crm", "type": "contact.created", "subject": "contact-1",
                   "datacontenttype": "application/json", "data": {"id": id}})
        };
        let post = |content_type: &str| server.api.call("POST", "events").header("content-type", content_type);
        post("application/cloudevents+json").body(event("one").to_string()).send().await.expect(202);
        let batch = json!([event("two"), event("three")]);
        post("application/cloudevents-batch+json").body(batch.to_string()).send().await.expect(202);
        post("application/json")
            .header("ce-specversion", "1.0")
            .header("ce-id", "four")
            .header("ce-source", "/crm")
            .header("ce-type", "contact.created")
            .header("ce-subject", "contact-1")
            .body(r#"{"id":"four"}"#)
            .send()
            .await
            .expect(202);
        let mut ids: Vec<String> =
            receiver.wait(4).await.iter().map(|r| r.json()["data"]["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        assert_eq!(ids, ["four", "one", "three", "two"]);
    }

    async fn a_schema_marks_or_refuses(server: TestServer) {
        let schema = json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
        let kind = |name: &str, mode: &str| json!({"name": name, "schema": schema, "schema_mode": mode});
        server.api.put("event-types/marked", &kind("marked", "mark")).await;
        server.api.put("event-types/refused", &kind("refused", "reject")).await;
        server.api.post("events", &json!({"type": "marked", "data": {"n": "text"}})).await.expect(202);
        server.api.post("events", &json!({"type": "refused", "data": {"n": 1}})).await.expect(202);
        let answer = server.api.post("events", &json!({"type": "refused", "data": {"n": "text"}})).await.expect(422);
        assert_eq!(answer.json()["errors"][0]["pointer"], "/data/n", "{}", answer.text());
    }

    async fn limits_refuse_the_whole_request(database: Database) {
        let server = database.server().config(|c| c.intake.events_max = 3).config(|c| c.intake.body_bytes_max = 2_000);
        let server = server.start().await;
        let event = json!({"type": "a.b", "data": {}});
        server.api.post("events", &json!([event, event, event])).await.expect(202);
        assert_eq!(server.api.post("events", &json!([event, event, event, event])).await.problem().0, 413);
        let big = json!({"type": "a.b", "data": {"text": "x".repeat(3_000)}});
        assert_eq!(server.api.post("events", &big).await.problem().0, 413);
        let deep = format!(r#"{{"type":"a.b","data":{{"a":{}{}}}}}"#, "[".repeat(200), "]".repeat(200));
        let answer = server.api.call("POST", "events").header("content-type", "application/json").body(deep).send().await;
        assert_eq!(answer.problem().0, 400);
    }
}

/// The results of an array of events, in order.
fn results(answer: &Value) -> Vec<Value> {
    answer.as_array().unwrap_or_else(|| panic!("no list of results: {answer}")).clone()
}
