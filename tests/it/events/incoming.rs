//! Incoming URLs: a call from outside becomes an event.

use antar_harness::{Call, Receiver, TestServer, on_both_databases};
use serde_json::{Value, json};

on_both_databases! {
    async fn any_method_becomes_an_event_and_is_answered_as_the_profile_says(server: TestServer) {
        server.apply_platforms().await;
        let receiver = Receiver::start().await;
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["sync.trigger"]})).await;
        let source = create(&server, json!({
            "name": "sync", "profile": "chatthing", "event_type": "sync.trigger", "attributes": {"dataSource": "ds-1"},
        }))
        .await;
        for (index, method) in ["GET", "POST", "PUT", "DELETE"].into_iter().enumerate() {
            let url = format!("{}?n={index}", url(&server, &source));
            let answer = Call::new(method, &url).send().await.expect(200);
            assert_eq!(answer.text(), r#"{"success":true}"#);
        }
        let path = format!("{}/api/public/hooks/{}/{}", server.base, text(&source, "id"), text(&source, "secret"));
        Call::new("POST", &path).send().await.expect(200);
        let data: Vec<Value> = receiver.wait(5).await.iter().map(|request| request.json()["data"].clone()).collect();
        let mut methods: Vec<_> = data.iter().map(|call| call["method"].as_str().unwrap()).collect();
        methods.sort_unstable();
        assert_eq!(methods, ["DELETE", "GET", "POST", "POST", "PUT"]);
        let get = data.iter().find(|call| call["method"] == "GET").unwrap();
        assert_eq!(get["query"]["n"], "0", "{get}");
    }

    async fn unknown_wrong_and_disabled_look_the_same(server: TestServer) {
        let source = create(&server, json!({"name": "s", "event_type": "in.call", "enabled": false})).await;
        let right = url(&server, &source);
        let wrong = format!("{}zz", &right[..right.len() - 2]);
        let unknown = format!("{}/in/018e4e1c-0000-7000-8000-000000000000/{}", server.base, text(&source, "secret"));
        let mut answers = Vec::new();
        for url in [&right, &wrong, &unknown] {
            let answer = Call::new("GET", url).send().await.expect(404);
            let mut problem = answer.json();
            // A number for the log may differ; what tells the cases apart may not.
            for own in ["instance", "request_id"] {
                problem.as_object_mut().unwrap().remove(own);
            }
            answers.push(problem);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        server.api.patch(&format!("sources/{}", text(&source, "id")), &json!({"enabled": true})).await.expect(200);
        Call::new("POST", &right).send().await.expect(200);
    }

    async fn templates_name_type_and_id_and_split_makes_many(server: TestServer) {
        let receiver = Receiver::start().await;
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["shop.*"]})).await;
        let source = create(&server, json!({
            "name": "shop", "event_type": "shop.{{body.kind}}", "event_id": "{{headers.x-call-id}}", "split": "body.items",
        }))
        .await;
        let call = || {
            Call::new("POST", &url(&server, &source))
                .header("x-call-id", "c-7")
                .header("authorization", "Bearer of somebody else")
                .json(&json!({"kind": "order", "items": [{"n": 1}, {"n": 2}]}))
        };
        call().send().await.expect(200);
        // The same call again is a repetition: nothing more is delivered.
        call().send().await.expect(200);
        let requests = receiver.wait(2).await;
        let mut ids: Vec<_> = requests.iter().map(|request| request.header("webhook-id").unwrap().to_owned()).collect();
        ids.sort();
        let own = |id: &str| id.split_once('.').map(|(own, _)| own.to_owned());
        let own: Vec<_> = ids.iter().filter_map(|id| own(id)).collect();
        assert_eq!(own, ["c-7:0", "c-7:1"], "what follows tells the source apart from others with such ids");
        assert!(requests.iter().all(|request| request.json()["type"] == "shop.order"));
        assert!(requests.iter().all(|request| !request.text().contains("somebody else")));
    }

    async fn a_form_becomes_an_object_and_credentials_stay_out(server: TestServer) {
        let receiver = Receiver::start().await;
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        let source = create(&server, json!({"name": "form", "event_type": "form.sent"})).await;
        Call::new("POST", &url(&server, &source))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", "Bearer very-private")
            .header("cookie", "session=very-private")
            .body("name=J%C3%B8rgen&city=Bandung+Barat")
            .send()
            .await
            .expect(200);
        let request = receiver.wait(1).await.remove(0);
        assert_eq!(request.json()["data"]["body"], json!({"name": "Jørgen", "city": "Bandung Barat"}));
        assert!(!request.text().contains("very-private"), "{}", request.text());
    }
}

pub(super) async fn create(server: &TestServer, source: Value) -> Value {
    server.api.post("sources", &source).await.expect(201).json()
}

pub(crate) fn text(source: &Value, name: &str) -> String {
    source[name].as_str().unwrap_or_else(|| panic!("no {name}: {source}")).to_owned()
}

/// The shown URL, on this server's port.
pub(crate) fn url(server: &TestServer, source: &Value) -> String {
    let shown = text(source, "url");
    let path = shown.splitn(4, '/').nth(3).unwrap();
    format!("{}/{path}", server.base)
}
