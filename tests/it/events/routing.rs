//! Who gets an event, and why not the others.

use antar_harness::{Api, Receiver, TestServer, Webhook, on_both_databases};
use serde_json::{Value, json};

on_both_databases! {
    async fn facet_values_are_learned_from_events_and_kept(server: TestServer) {
        server.apply_platforms().await;
        let api = server.create_tenant("acme").await;
        api.put("/v1/tenants/acme", &json!({"profile": "cekat"})).await.expect(200);
        for inbox in ["Sales", "Support", "Sales"] {
            conversation(&api, inbox, &[]).await;
        }
        let values = async |api: &Api| {
            let mut values = Vec::new();
            for row in api.list("facets/inbox/values").await {
                values.push(row["value"].as_str().unwrap().to_owned());
            }
            values
        };
        assert_eq!(values(&api).await, ["Sales", "Support"]);
        let server = server.restart().await;
        assert_eq!(values(&server.api.tenant("acme")).await, ["Sales", "Support"]);
    }

    async fn types_facets_and_rule_must_all_match(server: TestServer) {
        server.apply_platforms().await;
        let receiver = Receiver::start().await;
        let api = &server.api;
        let wants = |name: &str, more: Value| {
            let mut webhook = json!({"name": name, "profile": "cekat", "url": receiver.url(&format!("/{name}")),
                                     "event_types": ["conversation.*"]});
            webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            webhook
        };
        let sales = api.create_webhook(&wants("sales", json!({"facets": {"inbox": ["Sales"]}}))).await;
        let no_spam = api.create_webhook(&wants("no-spam", json!({"facets": {"inbox": {"none": ["Spam"]}}}))).await;
        let vip = json!({"rule": {"data": {"conversation": {"labels": [{"prefix": "vip"}]}}}});
        let vip = api.create_webhook(&wants("vip", vip)).await;
        let messages = api.create_webhook(&wants("messages", json!({"event_types": ["message.*"]}))).await;

        let first = conversation(api, "Sales", &["vip-gold"]).await;
        let second = conversation(api, "Spam", &[]).await;
        let third = conversation(api, "Support", &["new"]).await;

        receiver.wait(3).await;
        assert_eq!(receiver.at("/sales").len(), 1);
        assert_eq!(receiver.at("/vip").len(), 1);
        for event in [&first, &third] {
            api.delivery_in("delivered", &format!("event_id={event}&webhook_id={}", no_spam.id)).await;
        }
        assert!(why_not(api, &second, &sales).await.contains("Spam"));
        assert!(why_not(api, &third, &vip).await.contains("labels"));
        assert!(why_not(api, &third, &messages).await.contains("message"));
        assert_eq!(receiver.requests().len(), 4);
    }

    async fn rules_follow_the_event_pattern_language(server: TestServer) {
        let receiver = Receiver::start().await;
        let data = json!({"price": 300, "host": "10.0.0.7", "name": "Bob.PNG", "gone": null, "tags": ["a", "b"]});
        let matching = [
            json!({"data": {"price": [{"numeric": [">", 0, "<=", 300.0]}]}}),
            json!({"data": {"host": [{"cidr": "10.0.0.0/24"}]}}),
            json!({"data": {"name": [{"suffix": {"equals-ignore-case": ".png"}}]}}),
            json!({"data": {"gone": [null], "absent": [{"exists": false}]}}),
            json!({"data": {"tags": [{"anything-but": ["a"]}]}}),
            json!({"$or": [{"type": ["no"]}, {"data": {"name": [{"wildcard": "B*.P*"}]}}]}),
            json!({"data.tags": ["b"]}),
        ];
        let other = [
            json!({"data": {"price": [{"numeric": [">", 300]}]}}),
            json!({"data": {"tags": [{"anything-but": ["a", "b"]}]}}),
            json!({"data": {"name": ["bob.png"]}}),
        ];
        for (index, rule) in matching.iter().chain(&other).enumerate() {
            let url = receiver.url(&format!("/{index}"));
            let webhook = json!({"name": format!("w{index}"), "url": url, "event_types": ["*"], "rule": rule});
            server.api.create_webhook(&webhook).await;
        }
        let answer = server.api.post("events", &json!({"type": "a.b", "data": data})).await.expect(202).json();
        assert_eq!(answer["deliveries"], matching.len(), "{answer}");
        let requests = receiver.wait(matching.len()).await;
        assert!(requests.iter().all(|request| request.path()[1..].parse::<usize>().unwrap() < matching.len()));
    }

    async fn a_wrong_rule_is_refused_with_its_place(server: TestServer) {
        for (rule, pointer) in [
            (json!({"data": {}}), "/rule/data"),
            (json!({"data": {"a": [{"prefx": "x"}]}}), "/rule/data/a/0"),
            (json!({"data": {"a": [{"numeric": [">", 5, "<", 1]}]}}), "/rule/data/a/0"),
        ] {
            let webhook = json!({"name": "w", "url": "http://127.0.0.1:9/x", "event_types": ["*"], "rule": rule});
            let answer = server.api.post("webhooks", &webhook).await.expect(422);
            let found = answer.json()["errors"][0]["pointer"].as_str().unwrap().to_owned();
            assert!(found.starts_with(pointer), "{rule}: {}", answer.text());
        }
    }

    async fn a_changed_rule_counts_from_the_next_event_on(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"], "rule": {"data": {"n": [1]}}});
        let webhook = server.api.create_webhook(&webhook).await;
        let post = async |n: u8| {
            let answer = server.api.post("events", &json!({"type": "a.b", "data": {"n": n}})).await;
            answer.expect(202).json()["deliveries"].clone()
        };
        assert_eq!((post(1).await, post(2).await), (json!(1), json!(0)));
        let path = format!("webhooks/{}", webhook.id);
        server.api.patch(&path, &json!({"rule": {"data": {"n": [2]}}})).await.expect(200);
        assert_eq!((post(1).await, post(2).await), (json!(0), json!(1)));
        server.api.delete(&path).await.expect(204);
        assert_eq!(post(2).await, json!(0));
        receiver.wait(2).await;
    }
}

async fn conversation(api: &Api, inbox: &str, labels: &[&str]) -> String {
    let data = json!({"conversation": {"id": "c", "inbox": {"name": inbox}, "labels": labels}});
    api.send(&json!({"type": "conversation.created", "data": data})).await
}

/// The reason why a webhook did not want an event.
async fn why_not(api: &Api, event_id: &str, webhook: &Webhook) -> String {
    let row = api.explain(event_id, webhook).await;
    assert_eq!(
        (row["outcome"].as_str(), row["stage"].as_str()),
        (Some("not_wanted"), Some("route")),
        "{row}"
    );
    row.to_string()
}
