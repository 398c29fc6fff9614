//! Before going live: a preview shows what is then sent, a test says what took how long, slips are
//! pointed out, and everything that was not delivered has a reason.

use antar_harness::{Receiver, Reply, TestServer, on_both_databases, verify};
use antar_test_guests::Guest;
use serde_json::{Value, json};

use crate::delivery::golden;

on_both_databases! {
    async fn what_a_preview_shows_is_what_is_sent(server: TestServer) {
        server.apply_platforms().await;
        let receiver = Receiver::start().await;
        for (index, (name, example)) in golden::examples().iter().enumerate() {
            let api = server.create_tenant(&format!("preview-{index}")).await;
            let webhook = api
                .create_webhook(&json!({
                    "name": "w", "profile": example["profile"], "enabled": true,
                    "event_types": [example["event"]["type"]], "url": receiver.url(&format!("/{name}?q={{{{antar.event_id}}}}")),
                    "headers": {"X-Type": "{{antar.event_type}} of {{antar.tenant}}"},
                }))
                .await;
            let event_id = api.send(&example["event"]).await;
            let preview = api.post("preview", &json!({"webhook": webhook.id, "event": event_id})).await.expect(200).json();
            let sent = api.delivery_in("delivered", &format!("event_id={event_id}")).await;
            let sent = api.attempts(&sent).await.remove(0);
            assert_eq!(preview["unresolved"], json!([]));
            assert_eq!(neutral(&preview["request"]), neutral(&sent["request"]), "{name}");
        }
        receiver.wait(golden::examples().len()).await;
    }

    async fn a_preview_with_plugins_and_templates_is_what_is_sent(server: TestServer) {
        let api = &server.api;
        for guest in [Guest::ByLabel, Guest::Reshape, Guest::Redact] {
            api.call("POST", &format!("plugins?name={}", guest.name())).header("content-type", "application/wasm")
                .body(guest.wasm()).send().await.expect(201);
        }
        api.put("secrets/token", &json!({"value": "s3cret-token"})).await.expect(201);
        let receiver = Receiver::start().await;
        let webhook = api.create_webhook(&json!({
            "name": "w", "url": receiver.url("/{{data.id}}"), "event_types": ["contact.*"], "method": "PUT",
            "rule": {"data": {"contact": {"labels": ["vip"]}}},
            "profile": "standard",
            "plugins": [
                {"plugin": "by-label", "config": {"any": ["vip"], "path": "contact.labels"}},
                {"plugin": "redact", "config": {"paths": ["contact.phone"]}},
            ],
            "headers": {"X-Token": "{{antar.secret.token}}", "Content-Type": "application/json"},
            "body": r#"{"name": "{{data.contact.name}}", "phone": "{{data.contact.phone}}", "gone": "{{data.contact.gone}}"}"#,
            "signers": [{"kind": "hmac", "header": "X-Signature", "algorithm": "sha256", "encoding": "hex", "over": "{body}"}],
        })).await;
        // The URL names a path that is not there: `omit` leaves it empty.
        let data = json!({"contact": {"name": "Bob \"B\"", "phone": "+6281234567890", "labels": ["vip"], "n": 8_202_522_731_445_525_542_u64}});
        let event = json!({"type": "contact.made", "data": data});
        let event_id = api.send(&event).await;
        let preview = api.post("preview", &json!({"webhook": webhook.id, "event": event_id})).await.expect(200).json();
        let delivery = api.delivery_in("delivered", "").await;
        let sent = api.attempts(&delivery).await.remove(0);
        assert_eq!(preview["request"], sent["request"]);
        assert_eq!(preview["unresolved"], sent["unresolved"]);
        let arrived = receiver.wait(1).await.remove(0);
        assert_eq!(preview["request"]["body"], arrived.text());
        let signature = verify::hex(&verify::hmac_sha256(webhook.secret.as_bytes(), arrived.text().as_bytes()));
        assert_eq!(preview["request"]["headers"]["x-signature"], signature);
        assert_eq!(arrived.header("x-token"), Some("s3cret-token"));
        assert_eq!(preview["request"]["headers"]["x-token"], "•••");

        let stage = |name: &str| {
            let stages = preview["stages"].as_array().unwrap();
            stages.iter().find(|stage| stage["stage"] == name).unwrap()["detail"].clone()
        };
        assert_eq!(stage("route")["event_types"], "contact.*");
        let plugins = stage("transform")["plugins"].clone();
        assert_eq!((&plugins[0]["outcome"], &plugins[1]["outcome"]), (&json!("pass"), &json!("replace")));
        let change = &plugins[1]["changes"][0];
        assert_eq!((&change["op"], &change["path"], &change["before"]), (&json!("replace"), &json!("/contact/phone"), &json!("+6281234567890")));
        assert_eq!(stage("render")["body_bytes"], arrived.text().len());
        assert_eq!(stage("sign")["headers"], json!({"x-signature": signature}));
    }

    async fn a_slip_in_a_path_is_pointed_out(server: TestServer) {
        server.apply_platforms().await;
        let webhook = |unresolved: &str, path: &str| json!({
            "name": format!("{unresolved} {path}"), "profile": "chatthing", "url": "http://127.0.0.1:9/w", "event_types": ["conversation.started"],
            "unresolved": unresolved, "body": format!("{{\n  \"a\": \"{{{{{path}}}}}\"}}"),
        });
        let made = server.api.post("webhooks", &webhook("literal", "conversation.botNmae")).await.expect(201).json();
        assert_eq!(made["warnings"][0]["suggestion"], "conversation.botName", "{made}");
        assert_eq!((&made["warnings"][0]["pointer"], &made["warnings"][0]["line"]), (&json!("/body"), &json!(2)));
        let fine = server.api.post("webhooks", &webhook("literal", "conversation.botName")).await.expect(201).json();
        assert_eq!(fine.get("warnings"), None);
        // Where nothing would ever be sent, it is an error.
        let refused = server.api.post("webhooks", &webhook("fail", "conversation.botNmae")).await.expect(422).json();
        assert_eq!(refused["code"], "template_invalid");
        assert!(refused["errors"][0]["detail"].as_str().unwrap().contains("did you mean `conversation.botName`"), "{refused}");
        // What the user data holds, nobody knows beforehand.
        let open = webhook("fail", "conversation.userData.email");
        let open = json!({"event_types": ["conversation.escalated"], "name": "open", "body": open["body"], "url": open["url"], "profile": "chatthing"});
        let made = server.api.post("webhooks", &open).await.expect(201).json();
        assert_eq!(made.get("warnings"), None, "{made}");
    }

    async fn a_rule_that_no_event_can_match_is_pointed_out(server: TestServer) {
        server.apply_platforms().await;
        let warned = async |name: &str, rule: Value| {
            let webhook = json!({"name": name, "profile": "chatthing", "url": "http://127.0.0.1:9/w", "event_types": ["conversation.started"], "rule": rule});
            let made = server.api.post("webhooks", &webhook).await.expect(201).json();
            made.get("warnings").map(|warnings| warnings[0].clone())
        };
        let no_root = warned("root", json!({"conversation": {"botName": ["My Bot"]}})).await.unwrap();
        assert_eq!((&no_root["pointer"], &no_root["suggestion"]), (&json!("/rule"), &json!("data.conversation.botName")));
        let slip = warned("slip", json!({"data": {"conversation": {"botNmae": ["My Bot"]}}})).await.unwrap();
        assert!(slip["detail"].as_str().unwrap().contains("`data.conversation.botNmae`"), "{slip}");
        assert_eq!(warned("fine", json!({"data": {"conversation": {"botName": ["My Bot"]}}, "attributes": {"x": ["y"]}})).await, None);
    }

    async fn slips_in_types_hosts_and_places_are_pointed_out(server: TestServer) {
        server.apply_platforms().await;
        let post = async |name: &str, more: Value| {
            let mut webhook = json!({"name": name, "profile": "chatthing", "url": "http://127.0.0.1:9/w", "event_types": ["conversation.started"]});
            webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            server.api.post("webhooks", &webhook).await
        };
        let warning = async |name: &str, more: Value| post(name, more).await.expect(201).json()["warnings"][0].clone();
        let typo = warning("type", json!({"event_types": ["conversation.startd"]})).await;
        assert_eq!((&typo["pointer"], &typo["suggestion"]), (&json!("/event_types/0"), &json!("conversation.started")));
        let idle = warning("facet", json!({"facets": {"data_source": ["Docs"]}})).await;
        assert_eq!(idle["pointer"], "/facets/data_source");
        let under_data = warning("data", json!({"body": "{{data.conversation.botName}}"})).await;
        assert_eq!(under_data["suggestion"], "conversation.botName");
        let hosts = post("hosts", json!({"hosts_allowed": ["crm.example", "https://crm.example", ""]})).await.expect(422).json();
        let pointers: Vec<&Value> = hosts["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
        assert_eq!(pointers, ["/hosts_allowed/1", "/hosts_allowed/2"]);
        // What is switched off may be in the making.
        post("off", json!({"custom_payload": false, "body": "{\"a\":"})).await.expect(201);
    }

    async fn an_answer_shows_no_part_of_a_secret_url(server: TestServer) {
        let receiver = Receiver::start().await;
        let path = "/services/T0/B0/TOKENabcdef0123456";
        receiver.reply_with(|request, _| Reply::status(404).body(format!("Cannot POST {}", request.path())));
        server.api.put("secrets/hook", &json!({"value": receiver.url(path)})).await.expect(201);
        let webhook = json!({"name": "w", "url": "{{antar.secret.hook}}", "event_types": ["*"]});
        let webhook = server.api.create_webhook(&webhook).await;
        let tested = server.api.post(&format!("webhooks/{}/test", webhook.id), &json!({})).await.expect(200).json();
        assert_eq!(tested["response"]["body"], "Cannot POST •••");
        receiver.wait(1).await;
    }

    async fn what_could_not_be_rendered_says_so(server: TestServer) {
        let webhook = json!({"name": "w", "url": "http://127.0.0.1:9/w", "event_types": ["a.b"], "unresolved": "fail",
            "body": r#"{"a": {{data.one}}, "b": {{data.two}}}"#, "retry": {"attempts_max": 1}});
        let webhook = server.api.create_webhook(&webhook).await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        let failed = server.api.delivery_in("failed", "").await;
        let row = server.api.explain(&event_id, &webhook).await;
        assert_eq!((&row["stage"], &row["outcome"]), (&json!("render"), &json!("failed")), "{row}");
        let attempt = server.api.attempts(&failed).await.remove(0);
        assert_eq!(attempt["unresolved"], json!(["{{data.one}}", "{{data.two}}"]));
        server.api.delete(&format!("webhooks/{}", webhook.id)).await.expect(204);
        let rows = server.api.list(&format!("events/{event_id}/explain")).await;
        assert_eq!((rows.len(), &rows[0]["reason"]), (1, &json!("the webhook was deleted")));
    }

    async fn the_documented_custom_payload_and_the_literal_token(server: TestServer) {
        server.apply_platforms().await;
        let receiver = Receiver::start().await;
        let webhook = server.api.create_webhook(&json!({
            "name": "w", "profile": "chatthing", "enabled": true, "event_types": ["conversation.started"], "url": receiver.url("/w?to={{conversation.userData.emial}}"),
            "method": "PUT", "headers": {"X-Bot": "{{conversation.botName}}", "X-Mail": "{{conversation.userData.emial}}"},
            "body": r#"{ "bot": "{{conversation.botName}}", "message": "{{conversation.initialMessage}}", "mail": "{{conversation.userData.emial}}", "all": {{conversation.userData}} }"#,
        })).await;
        let conversation = json!({"id": "abc-123", "botName": "My Bot", "initialMessage": "What are your opening times?", "userData": {"email": "a@b.c"}});
        let event = json!({"type": "conversation.started", "data": {"conversation": conversation}});
        server.api.send(&event).await;
        let request = receiver.wait(1).await.remove(0);
        assert_eq!(request.method, "PUT");
        assert_eq!(request.text(), r#"{ "bot": "My Bot", "message": "What are your opening times?", "mail": "{{conversation.userData.emial}}", "all": {"email":"a@b.c"} }"#);
        assert_eq!((request.header("x-bot"), request.header("x-mail")), (Some("My Bot"), Some("{{conversation.userData.emial}}")));
        let test = json!({"event_type": "conversation.started", "data": {"conversation": conversation}});
        let path = format!("webhooks/{}", webhook.id);
        let tested = server.api.post(&format!("{path}/test"), &test).await.expect(200).json();
        assert_eq!(tested["unresolved"], json!(["{{conversation.userData.emial}}"]));

        // Switched off, the default payload is back, and the fields are kept.
        let off = server.api.patch(&path, &json!({"custom_payload": false})).await.expect(200).json();
        assert_eq!((&off["method"], &off["headers"]["X-Bot"]), (&json!("PUT"), &json!("{{conversation.botName}}")));
        server.api.send(&event).await;
        let request = receiver.wait(3).await.remove(2);
        assert_eq!((request.method.as_str(), request.header("x-bot")), ("POST", None));
        assert_eq!(request.json()["conversation"], conversation);
        assert_eq!(request.json()["event"], "conversation.started");
    }

    async fn a_test_says_what_took_how_long(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply(Reply::status(200));
        let url = receiver.url("/w").replace("127.0.0.1", "localhost");
        let webhook = server.api.create_webhook(&json!({"name": "w", "url": url, "event_types": ["*"]})).await;
        let tested = server.api.post(&format!("webhooks/{}/test", webhook.id), &json!({})).await.expect(200).json();
        let timing = &tested["timing"];
        let part = |name: &str| timing[name].as_u64().unwrap_or_else(|| panic!("no {name}: {tested}"));
        assert!(part("dns_us") + part("connect_us") + part("first_byte_us") <= part("total_us"));
        assert_eq!(timing["tls_us"], Value::Null);
        receiver.wait(1).await;
    }

    async fn a_preview_warns_of_what_works_but_looks_wrong(server: TestServer) {
        let webhook = server.api.create_webhook(&json!({"name": "w", "url": "http://127.0.0.1:9/w", "event_types": ["a.b"], "enabled": false})).await;
        let preview = server.api.post("preview", &json!({"webhook": webhook.id})).await.expect(200).json();
        assert_eq!(preview["warnings"][0]["pointer"], "/enabled", "{preview}");
        assert_eq!(preview["request"]["url"], "http://127.0.0.1:9/w", "without an event, one of the webhook's type is taken");
    }

    async fn whatever_waits_or_ended_says_why(server: TestServer) {
        let receiver = Receiver::start().await;
        let api = &server.api;
        let webhook = async |name: &str, more: Value| {
            let mut webhook = json!({"name": name, "url": receiver.url(&format!("/{name}")), "event_types": ["a.b"]});
            webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            api.create_webhook(&webhook).await
        };
        let arrives = webhook("arrives", json!({})).await;
        let disabled = webhook("disabled", json!({"enabled": false})).await;
        let paused = webhook("paused", json!({})).await;
        api.post(&format!("webhooks/{}/pause", paused.id), &json!({})).await.expect(200);
        let other = webhook("other", json!({"event_types": ["c.*"]})).await;
        let choosy = webhook("choosy", json!({"rule": {"data": {"n": [2]}}})).await;
        let event_id = api.send(&json!({"type": "a.b", "data": {"n": 1}})).await;
        receiver.wait(1).await;
        api.delivery_in("delivered", "").await;
        let later = webhook("later", json!({})).await;
        for (webhook, outcome, says) in [
            (&arrives, "delivered", "arrived with the first attempt"),
            (&disabled, "missed", "was disabled when the event came"),
            (&paused, "pending", "the webhook is paused"),
            (&other, "not_wanted", "not subscribed to `a.b`"),
            (&choosy, "not_wanted", "the rule wants `data.n` to be [2]; it was 1"),
            (&later, "no_delivery", "did not exist"),
        ] {
            let row = api.explain(&event_id, webhook).await;
            assert_eq!(row["outcome"], outcome, "{row}");
            assert!(row["reason"].as_str().unwrap().contains(says), "{row}");
        }
        api.post(&format!("webhooks/{}/resume", paused.id), &json!({})).await.expect(200);
        receiver.wait(2).await;
    }
}

/// A request with its delivery's id and what depends on it made neutral.
fn neutral(request: &Value) -> String {
    let mut request = request.clone();
    let is_id = |text: &str| text.len() == 36 && text.split('-').count() == 5;
    let mut ids = Vec::new();
    for value in request["headers"].as_object_mut().unwrap().values_mut() {
        let text = value.as_str().unwrap().to_owned();
        // Signatures cover the id, and the time of the attempt.
        let signature = text.len() >= 44 && !text.contains(' ');
        if is_id(&text) {
            ids.push(text);
        } else if signature || text.parse::<u64>().is_ok() {
            *value = json!("…");
        }
    }
    let body: Option<Value> =
        request["body"].as_str().and_then(|body| serde_json::from_str(body).ok());
    if let Some(id) = body.as_ref().and_then(|body| body["deliveryId"].as_str()) {
        ids.push(id.to_owned());
    }
    ids.iter().fold(request.to_string(), |text, id| text.replace(id, "ID"))
}
