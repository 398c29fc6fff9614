//! Loops end: an event that comes back through Antar's own deliveries knows how often, and where it began.

use antar_harness::{
    Api, Call, Database, Receiver, Request, TestServer, eventually, on_both_databases,
};
use antar_test_guests::Guest;
use serde_json::{Value, json};

use super::incoming::{create, text, url};
use crate::plugins::calls::upload;

/// A source `loop` and webhooks that want everything and send it there.
async fn webhooks_to_own_source(server: &TestServer, count: usize) {
    let source = create(server, json!({"name": "loop", "event_type": "in.call"})).await;
    for number in 0..count {
        let url = url(server, &source);
        let webhook = json!({"name": format!("w-{number}"), "url": url, "event_types": ["*"]});
        server.api.create_webhook(&webhook).await;
    }
}

/// All events, once all of their deliveries have arrived.
async fn events_at_the_end(api: &Api, events: usize) -> Vec<Value> {
    let found = eventually(&format!("{events} events"), async || {
        Some(api.list("events").await).filter(|found| found.len() >= events)
    })
    .await;
    eventually("nothing is on its way", async || {
        let states = api.deliveries("").await;
        states.iter().all(|delivery| delivery.state == "delivered").then_some(())
    })
    .await;
    assert_eq!(api.list("events").await.len(), found.len(), "events came although all had arrived");
    assert_eq!(found.len(), events);
    found
}

fn is_dropped(event: &Value) -> bool {
    let reason = event["dropped_reason"].as_str();
    assert!(reason.is_none_or(|reason| reason.starts_with("loop: ")), "{event}");
    reason.is_some()
}

/// How many events have passed through `hops` deliveries, and how many of these were dropped.
fn count(events: &[Value], hops: u64) -> (usize, usize) {
    let of_hops: Vec<_> = events.iter().filter(|event| event["hops"] == hops).collect();
    (of_hops.len(), of_hops.iter().filter(|event| is_dropped(event)).count())
}

fn hops(request: &Request) -> (&str, &str) {
    (request.header("antar-hops").unwrap(), request.header("antar-root").unwrap())
}

async fn listening(server: &TestServer) -> Receiver {
    let receiver = Receiver::start().await;
    server
        .api
        .create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]}))
        .await;
    receiver
}

on_both_databases! {
    async fn a_webhook_to_its_own_source_ends_after_eight_hops(server: TestServer) {
        webhooks_to_own_source(&server, 1).await;
        server.api.send(&json!({"type": "a.b", "data": {}})).await;
        let events = events_at_the_end(&server.api, 10).await;
        for hops in 0..=8 {
            assert_eq!(count(&events, hops), (1, 0), "{hops}");
        }
        assert_eq!(count(&events, 9), (1, 1));
        let last = events.iter().find(|event| event["hops"] == 9).unwrap();
        assert_eq!((&last["data_kept"], &last["deliveries"]), (&json!(false), &json!(0)));
        let rows = server.api.list(&format!("events/{}/explain", text(last, "id"))).await;
        assert_eq!((&rows[0]["outcome"], &rows[0]["stage"]), (&json!("dropped"), &json!("intake")));
        assert!(text(&rows[0], "reason").contains("loops.hops_max"), "{rows:?}");
        let metrics = server.api.get("/metrics").await.expect(200).text();
        let dropped = |line: &&str| line.starts_with("antar_loop_events_dropped_total{tenant=\"default\"}");
        assert!(metrics.lines().any(|line| dropped(&line)), "{metrics}");
    }

    async fn two_webhooks_to_their_own_source_end_at_the_limit(database: Database) {
        let server = database.server().config(|config| config.loops.hops_max = 3).start().await;
        webhooks_to_own_source(&server, 2).await;
        server.api.send(&json!({"type": "a.b", "data": {}})).await;
        let events = events_at_the_end(&server.api, 31).await;
        let counts: Vec<_> = (0..=4).map(|hops| count(&events, hops)).collect();
        assert_eq!(counts, [(1, 0), (2, 0), (4, 0), (8, 0), (16, 16)]);
        let rows = "SELECT count(*) AS number FROM deliveries";
        assert_eq!(server.number_in_database(rows).await, 30);
    }

    async fn a_loop_that_branches_is_bounded_by_its_deliveries(database: Database) {
        let server = database.server().config(|config| config.loops.deliveries_max = 20).start().await;
        webhooks_to_own_source(&server, 5).await;
        server.api.send(&json!({"type": "a.b", "data": {}})).await;
        // The event itself makes 5 deliveries. Four of those that come back make 5 each, and that is all.
        let events = events_at_the_end(&server.api, 26).await;
        let counts: Vec<_> = (0..=2).map(|hops| count(&events, hops)).collect();
        assert_eq!(counts, [(1, 0), (5, 1), (20, 20)]);
        let rows = "SELECT count(*) AS number FROM deliveries";
        assert_eq!(server.number_in_database(rows).await, 25);
        // Another event is not affected.
        let answer = server.api.post("events", &json!({"type": "a.b", "data": {}})).await.expect(202);
        assert_eq!(answer.json()["deliveries"], 5);
        events_at_the_end(&server.api, 52).await;
    }

    async fn posted_events_count_on_from_the_header_they_come_with(server: TestServer) {
        let receiver = listening(&server).await;
        let cases: [(&[&str], Option<&str>); 8] = [
            (&[], Some("1")),
            (&["0"], Some("1")),
            (&["3"], Some("4")),
            (&["many"], Some("2")),
            (&["2", "5, 4"], Some("6")),
            (&["8"], Some("9")),
            (&["9"], None),
            (&["999999999999999999999"], None),
        ];
        let mut sent = 0;
        for (values, expected) in cases {
            let call = server.api.call("POST", "events").json(&json!({"type": "a.b", "data": {}}));
            let call = values.iter().fold(call, |call, value| call.header("antar-hops", value));
            let answer = call.send().await.expect(202).json();
            assert_eq!(answer["deliveries"], u64::from(expected.is_some()), "{values:?}");
            let event = server.api.get(&format!("events/{}", text(&answer, "id"))).await.json();
            assert_eq!(is_dropped(&event), expected.is_none(), "{event}");
            if let Some(expected) = expected {
                sent += 1;
                let requests = receiver.wait(sent).await;
                assert_eq!(hops(requests.last().unwrap()).0, expected, "{values:?}");
            }
        }
    }

    async fn the_root_is_that_of_the_first_event(server: TestServer) {
        let receiver = listening(&server).await;
        for (number, root) in [Some("00c0ffee00c0ffee"), Some("nonsense"), None].into_iter().enumerate() {
            let call = server.api.call("POST", "events").header("antar-hops", "1");
            let call = root.into_iter().fold(call, |call, root| call.header("antar-root", root));
            call.json(&json!({"type": "a.b", "data": {}})).send().await.expect(202);
            let requests = receiver.wait(number + 1).await;
            let (hops, sent) = hops(&requests[number]);
            assert_eq!((hops, sent == "00c0ffee00c0ffee"), ("2", number == 0), "{sent}");
            assert_eq!(sent.len(), 16);
        }
    }

    async fn cloudevents_count_in_every_mode(server: TestServer) {
        let receiver = listening(&server).await;
        let post = || server.api.call("POST", "events").header("antar-hops", "4");
        let binary = post()
            .header("content-type", "application/json")
            .header("ce-specversion", "1.0")
            .header("ce-id", "binary")
            .header("ce-source", "/shop")
            .header("ce-type", "a.b")
            .body(r#"{"n": 1}"#);
        let event = json!({"specversion": "1.0", "id": "s", "source": "/shop", "type": "a.b", "data": {"n": 1}});
        let structured = post().header("content-type", "application/cloudevents+json").body(event.to_string());
        let mut other = event.clone();
        other["id"] = json!("b");
        let batched = post()
            .header("content-type", "application/cloudevents-batch+json")
            .body(json!([other]).to_string());
        for call in [binary, structured, batched] {
            call.send().await.expect(202);
        }
        for request in receiver.wait(3).await {
            assert_eq!(hops(&request).0, "5");
        }
    }

    async fn what_intake_plugins_make_of_an_event_has_its_hops(server: TestServer) {
        let receiver = listening(&server).await;
        upload(&server.api, Guest::Hostile).await;
        for (number, config) in [json!({"mode": "split", "count": 3}), json!({"mode": "type", "name": "a.c"})]
            .into_iter()
            .enumerate()
        {
            let tenant = json!({"intake_plugins": [{"plugin": Guest::Hostile.name(), "config": config}]});
            server.api.put("/v1/tenants/default", &tenant).await.expect(200);
            let call = server.api.call("POST", "events").header("antar-hops", "3");
            let call = call.header("antar-root", "00c0ffee00c0ffee");
            call.json(&json!({"type": "a.b", "data": {}})).send().await.expect(202);
            for request in &receiver.wait([3, 4][number]).await {
                assert_eq!(hops(request), ("4", "00c0ffee00c0ffee"));
            }
        }
    }

    async fn calls_of_a_source_count_and_split_alike(server: TestServer) {
        let receiver = listening(&server).await;
        let source =
            create(&server, json!({"name": "s", "event_type": "in.call", "split": "body.items"})).await;
        let call = Call::new("POST", &url(&server, &source)).header("antar-hops", "7");
        call.json(&json!({"items": [{"n": 1}, {"n": 2}]})).send().await.expect(200);
        for request in receiver.wait(2).await {
            assert_eq!(hops(&request).0, "8");
        }
        let call = Call::new("POST", &url(&server, &source)).header("antar-hops", "9");
        call.json(&json!({"items": [{"n": 3}]})).send().await.expect(200);
        let events = server.api.list("events").await;
        assert_eq!(events.iter().filter(|event| is_dropped(event)).count(), 1);
    }

    async fn replays_and_retries_send_the_same_hops(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply_with(|_, nth| antar_harness::Reply::status(if nth == 1 { 500 } else { 200 }));
        let webhook = server
            .api
            .create_webhook(&json!({
                "name": "w", "url": receiver.url("/w"), "event_types": ["*"], "retry": {"schedule_s": [1]},
            }))
            .await;
        let call = server.api.call("POST", "events").header("antar-hops", "5");
        let answer = call.json(&json!({"type": "a.b", "data": {}})).send().await.expect(202).json();
        receiver.wait(2).await;
        server.api.delivery_in("delivered", &format!("event_id={}", text(&answer, "id"))).await;
        let replay = json!({"event_ids": [answer["id"]]});
        let replayed = server.api.post(&format!("webhooks/{}/replay", webhook.id), &replay).await;
        assert!(replayed.status < 300, "{}", replayed.text());
        let requests = receiver.wait(3).await;
        assert!(requests.iter().all(|request| hops(request) == hops(&requests[0])));
        assert_eq!(hops(&requests[0]).0, "6");
        eventually("all have arrived", async || {
            let deliveries = server.api.deliveries("").await;
            deliveries.iter().all(|delivery| delivery.state == "delivered").then_some(())
        })
        .await;
    }

    async fn nobody_else_sets_the_hops(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = |more: Value| {
            let mut webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]});
            webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            webhook
        };
        for (refused, pointer) in [
            (json!({"headers": {"Antar-Hops": "0"}}), "/headers/Antar-Hops"),
            (json!({"headers": {"antar-root": "{{antar.event_id}}"}}), "/headers/antar-root"),
            (json!({"signers": [{"kind": "secret", "header": "ANTAR-HOPS"}]}), "/signers/0/header"),
        ] {
            let answer = server.api.post("webhooks", &webhook(refused)).await.expect(422).json();
            assert_eq!(answer["errors"][0]["pointer"], pointer, "{answer}");
        }
        let profile = json!({"payload": [{"rest": "data"}], "headers": {"antar-hops": "0"}});
        server.api.put("/v1/profiles/p", &profile).await.expect(422);
        upload(&server.api, Guest::Hostile).await;
        let config = json!({"mode": "header", "name": "antar-hops", "value": "0"});
        let plugins = json!([{"plugin": Guest::Hostile.name(), "config": config}]);
        server.api.create_webhook(&webhook(json!({"plugins": plugins}))).await;
        server.api.send(&json!({"type": "a.b", "data": {}})).await;
        assert_eq!(hops(&receiver.wait(1).await[0]).0, "1");
    }

    async fn a_webhook_to_this_server_is_saved_with_a_warning(server: TestServer) {
        let source = create(&server, json!({"name": "shop-calls", "event_type": "in.call"})).await;
        let webhook = |name: &str, url: &str| json!({"name": name, "url": url, "event_types": ["a.b"]});
        let warnings = async |name: &str, url: &str| {
            server.api.create_webhook(&webhook(name, url)).await.json["warnings"].to_string()
        };
        let said = warnings("own", &url(&server, &source)).await;
        assert!(said.contains("shop-calls") && said.contains("loops.hops_max"), "{said}");
        let said = warnings("api", &format!("{}/v1/tenants/default/events", server.base)).await;
        assert!(said.contains("this server itself"), "{said}");
        let said = warnings("other", "http://127.0.0.1:9/in/x/y").await;
        assert!(!said.contains("loops.hops_max"), "{said}");
    }
}
