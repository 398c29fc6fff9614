//! One event for many webhooks: what it takes is bounded before it is accepted, and stored once.

use antar_harness::{Call, Database, Receiver, Reply, TestServer, eventually, on_both_databases};
use serde_json::{Value, json};

use super::incoming::{create, url};

const FANOUT_BYTES_MAX: usize = 100_000;

async fn limited(database: Database) -> TestServer {
    database
        .server()
        .config(|config| config.intake.fanout_bytes_max = FANOUT_BYTES_MAX)
        .start()
        .await
}

async fn webhooks(server: &TestServer, count: usize, receiver: &Receiver, more: Value) {
    for number in 0..count {
        let mut webhook =
            json!({"name": format!("w-{number}"), "url": receiver.url("/w"), "event_types": ["*"]});
        webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.api.create_webhook(&webhook).await;
    }
}

/// An event of the tenant `default` whose document, as rules see it, has this many bytes.
fn event_of(id: &str, bytes: usize) -> Value {
    let timestamp = "2026-03-10T12:00:00.000Z";
    let with = |filler: &str| json!({"id": id, "type": "a.b", "timestamp": timestamp, "data": {"x": filler}});
    let mut document = with("");
    document["tenant"] = json!("default");
    document["attributes"] = json!({});
    with(&"x".repeat(bytes - document.to_string().len()))
}

/// Text that does not compress much, the same each time.
fn noise(bytes: usize) -> String {
    let mut seed = 7_u64;
    let letter = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + u8::try_from((seed >> 33) % 70).unwrap())
    };
    std::iter::repeat_with(letter).map(|c| if c == '\\' { '!' } else { c }).take(bytes).collect()
}

async fn rows(server: &TestServer, table: &str) -> i64 {
    server.number_in_database(&format!("SELECT count(*) AS number FROM {table}")).await
}

async fn all_delivered(server: &TestServer, count: usize) {
    eventually("all are delivered", async || {
        let deliveries = server.api.deliveries("state=delivered").await;
        (deliveries.len() == count).then_some(())
    })
    .await;
}

on_both_databases! {
    async fn an_event_too_large_for_its_webhooks_is_refused_and_not_stored(database: Database) {
        let server = limited(database).await;
        let receiver = Receiver::start().await;
        webhooks(&server, 10, &receiver, json!({})).await;
        let (just, above) = (event_of("just", 10_000), event_of("above", 10_001));
        let (status, code) = server.api.post("events", &above).await.problem();
        assert_eq!((status, code.as_str()), (422, "fanout_too_large"));
        assert_eq!((rows(&server, "events").await, rows(&server, "deliveries").await), (0, 0));

        let source = create(&server, json!({"name": "s", "event_type": "in.call"})).await;
        let call = Call::new("POST", &url(&server, &source)).json(&json!({"x": "x".repeat(10_000)}));
        let (status, code) = call.send().await.problem();
        assert_eq!((status, code.as_str()), (422, "fanout_too_large"));
        assert_eq!(rows(&server, "events").await, 0);

        server.api.send(&just).await;
        all_delivered(&server, 10).await;
        assert_eq!(receiver.wait(10).await.len(), 10);
    }

    async fn the_events_of_a_batch_are_counted_together(database: Database) {
        let server = limited(database).await;
        let receiver = Receiver::start().await;
        webhooks(&server, 10, &receiver, json!({})).await;
        let events = json!([event_of("a", 4_000), event_of("b", 4_000), event_of("c", 4_000), event_of("d", 2_000)]);
        let results = server.api.post("events", &events).await.expect(202).json();
        assert_eq!(results[2]["problem"]["code"], "fanout_too_large", "{results}");
        assert_eq!([&results[0]["id"], &results[1]["id"], &results[3]["id"]], ["a", "b", "d"]);
        all_delivered(&server, 30).await;
        assert_eq!((rows(&server, "events").await, rows(&server, "deliveries").await), (3, 30));
        receiver.wait(30).await;
    }

    async fn what_a_template_makes_of_a_small_event_is_bounded_too(database: Database) {
        let server = limited(database).await;
        let receiver = Receiver::start().await;
        let body = format!("{{{{#each data.list}}}}{}{{{{/each}}}}", "x".repeat(500));
        let more = json!({
            "headers": {"content-type": "text/plain"}, "body": body, "retry": {"attempts_max": 1, "schedule_s": [1]},
        });
        webhooks(&server, 10, &receiver, more).await;
        // 10,000 bytes are the share of each delivery.
        let list = |elements: usize| json!({"type": "a.b", "data": {"list": vec![1; elements]}});
        server.api.send(&list(19)).await;
        assert_eq!(receiver.wait(10).await.len(), 10);
        all_delivered(&server, 10).await;
        let id = server.api.send(&list(20)).await;
        let failed = server.api.delivery_in("failed", &format!("event_id={id}")).await;
        assert!(failed.reason.as_deref().unwrap().contains("intake.fanout_bytes_max"), "{failed:?}");
        eventually("all have failed", async || {
            let failed = server.api.deliveries(&format!("event_id={id}&state=failed")).await;
            (failed.len() == 10).then_some(())
        })
        .await;
        assert_eq!(receiver.requests().len(), 10, "nothing of it is sent");
    }

    async fn a_large_event_is_stored_once_whatever_the_webhooks_send(database: Database) {
        const BYTES: usize = 4_000_000;
        const WEBHOOKS: usize = 16;
        let server = database.server().start().await;
        let receiver = Receiver::start().await;
        let own = [
            json!({}),
            json!({"body": r#"{"all": {{json data.conversation}}, "by": "{{antar.webhook}}"}"#}),
            json!({"body": r#"{"more": "{{data.conversation.more}}", "text": "{{data.conversation.text}}"}"#}),
        ];
        for (number, more) in own.into_iter().enumerate() {
            let mut more = more;
            let names = json!({"event_types": [format!("type-{number}.*")]});
            more.as_object_mut().unwrap().extend(names.as_object().unwrap().clone());
            for webhook in 0..WEBHOOKS {
                more["name"] = json!(format!("w-{number}-{webhook}"));
                more["url"] = json!(receiver.url("/w"));
                server.api.create_webhook(&more).await;
            }
            let text = noise(BYTES / 2);
            let conversation = json!({"text": text, "more": noise(BYTES / 2 - 1_000)});
            let event = json!({"type": format!("type-{number}.b"), "data": {"conversation": conversation}});
            server.api.send(&event).await;
            all_delivered(&server, WEBHOOKS * (number + 1)).await;
            let requests = receiver.take();
            assert_eq!(requests.len(), WEBHOOKS);
            assert!(requests.iter().all(|request| request.body.len() > BYTES - 2_000));
        }
        let attempts = "SELECT CAST(sum(coalesce(octet_length(frozen), 0) + coalesce(octet_length(frozen_body), 0) \
                        + coalesce(octet_length(response_body), 0)) AS BIGINT) AS number FROM attempts";
        let bytes = server.number_in_database(attempts).await;
        assert!(bytes < 1_000_000, "{bytes} bytes for {} attempts", 3 * WEBHOOKS);
        let deliveries = server.api.deliveries("state=delivered").await;
        for delivery in [&deliveries[0], &deliveries[WEBHOOKS], &deliveries[2 * WEBHOOKS]] {
            let attempts = server.api.attempts(delivery).await;
            let body = attempts[0]["request"]["body"].as_str().unwrap();
            assert!(body.len() > BYTES - 2_000 && body.contains(&noise(BYTES / 2)), "the request is shown");
        }
    }

    async fn a_retry_sends_the_bytes_of_a_compressed_body(server: TestServer) {
        let receiver = Receiver::start().await;
        let answered = "later, please; ".repeat(1_000);
        let reply = answered.clone();
        receiver.reply_with(move |_, nth| match nth {
            1 => Reply::status(503).body(reply.clone()),
            _ => Reply::ok(),
        });
        let secret = "s3cr3t-of-a-crm";
        server.api.put("secrets/crm", &json!({"value": secret})).await.expect(201);
        let body = r#"{"key": "{{antar.secret.crm}}", "quoted": "{{json data.conversation}}", "n": {{json data.conversation.n}}}"#;
        webhooks(&server, 1, &receiver, json!({"body": body, "retry": {"schedule_s": [1]}})).await;
        let numbers: Vec<usize> = (0..20_000).map(|n| n * 7).collect();
        let data = json!({"conversation": {"text": noise(200_000), "é": "ü", "n": numbers}});
        let id = server.api.send(&json!({"type": "a.b", "data": data})).await;
        let requests = receiver.wait(2).await;
        assert_eq!(requests[0].body, requests[1].body);
        assert!(requests[0].text().contains(secret));
        let packed = "SELECT CAST(octet_length(frozen_body) AS BIGINT) AS number FROM attempts WHERE number = 1";
        let packed = server.number_in_database(packed).await;
        assert!(usize::try_from(packed).unwrap() < requests[0].body.len() / 2, "{packed}");
        let delivery = server.api.delivery_in("delivered", &format!("event_id={id}")).await;
        let attempts = server.api.attempts(&delivery).await;
        assert_eq!(attempts[0]["response"]["body"], answered);
        for attempt in &attempts {
            let shown = attempt["request"]["body"].as_str().unwrap();
            assert_eq!(shown.replace("•••", secret), requests[0].text());
        }
    }
}
