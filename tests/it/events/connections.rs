//! Connections from callers who mean harm: how many, how slow, and what of them gets into the log.

use antar::config::Config;
use antar_harness::{
    BinaryServer, Database, TestServer, Wire, WireAnswer, eventually, on_both_databases,
};
use serde_json::{Value, json};

use super::bodies::gauge;

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: antar\r\n\r\n";

async fn connections(server: &TestServer) -> usize {
    // Without the one that asks.
    gauge(&server.api, "antar_http_connections").await - 1
}

/// Opens connections until one is refused. Returns those that are open, the answer and the refused one.
async fn open_until_refused(server: &TestServer) -> (Vec<Wire>, WireAnswer, Wire) {
    let mut open = Vec::new();
    loop {
        let mut wire = Wire::open(&server.base).await;
        let answer = match wire.send(HEALTH).await {
            true => wire.try_answer().await,
            false => None,
        };
        match answer {
            Some(answer) if answer.status == 200 => open.push(wire),
            Some(answer) => return (open, answer, wire),
            // The answer may be lost, since it was given before the request came.
            None => {}
        }
    }
}

on_both_databases! {
    async fn one_address_gets_so_many_connections(database: Database) {
        const MAX: usize = 8;
        let few = |config: &mut Config| config.server.connections_per_address_max = MAX;
        let server = database.server().config(few).ignore_unseen_deliveries().start().await;
        let (mut open, refused, rest) = open_until_refused(&server).await;
        // Those that asked whether the server is ready may not have ended yet.
        assert!((MAX / 2..=MAX).contains(&open.len()), "{}", open.len());
        assert_eq!(refused.problem(), (429, "too_many_requests".to_owned()));
        assert!(refused.head.contains("retry-after: 1\r\n"), "{}", refused.head);
        assert_eq!(rest.end().await, b"");
        // Those that are open go on, and one that ends makes room for another.
        assert!(open[0].send(HEALTH).await);
        assert_eq!(open[0].answer().await.status, 200);
        open.pop();
        eventually("there is room again", async || {
            let mut wire = Wire::open(&server.base).await;
            wire.send(HEALTH).await;
            (wire.try_answer().await?.status == 200).then_some(())
        })
        .await;
    }

    async fn a_trusted_proxy_may_have_all_connections(database: Database) {
        let few = |config: &mut Config| {
            config.server.connections_max = 12;
            config.server.connections_per_address_max = 2;
            config.server.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        };
        let server = database.server().config(few).ignore_unseen_deliveries().start().await;
        let (open, refused, _rest) = open_until_refused(&server).await;
        assert!(open.len() > 2, "{}", open.len());
        assert_eq!(refused.problem(), (503, "busy".to_owned()));
    }

    async fn slow_heads_end_also_on_a_connection_that_is_known(database: Database) {
        let hasty = |config: &mut Config| config.server.head_timeout_ms = 1_000;
        let server = database.server().config(hasty).start().await;
        let mut first = Wire::open(&server.base).await;
        first.send("GET /healthz HT").await;
        assert_eq!(first.answer().await.status, 408);
        let mut second = Wire::open(&server.base).await;
        second.send(HEALTH).await;
        assert_eq!(second.answer().await.status, 200);
        second.send("GET /healthz HT").await;
        assert_eq!(second.end().await, b"");
        eventually("they are gone", async || (connections(&server).await == 0).then_some(())).await;
    }

    async fn long_heads_are_counted_by_address(database: Database) {
        let few = |config: &mut Config| {
            config.intake.body_bytes_in_flight_per_address_max = 100 << 10;
        };
        let server = database.server().config(few).start().await;
        let half = format!("GET /healthz HTTP/1.1\r\nhost: antar\r\nx-long: {}", "x".repeat(70 << 10));
        let memory = "antar_body_bytes_in_flight{place=\"memory\"}";
        let mut first = Wire::open(&server.base).await;
        first.send(&half).await;
        eventually("it is counted", async || {
            (gauge(&server.api, memory).await > 60 << 10).then_some(())
        })
        .await;
        let mut others = Vec::new();
        for _ in 0..20 {
            let mut wire = Wire::open(&server.base).await;
            wire.send(&half).await;
            assert!(gauge(&server.api, memory).await <= 100 << 10);
            others.push(wire);
        }
        // A short head is not in their way, and a long one that was counted goes on.
        let mut short = Wire::open(&server.base).await;
        short.send(HEALTH).await;
        assert_eq!(short.answer().await.status, 200);
        first.send("\r\n\r\n").await;
        assert_eq!(first.answer().await.status, 200);
        drop(others);
        eventually("all is given back", async || {
            (gauge(&server.api, memory).await == 0).then_some(())
        })
        .await;
    }

    async fn who_takes_no_answer_is_left(database: Database) {
        let hasty = |config: &mut Config| config.server.write_timeout_ms = 300;
        let server = database.server().config(hasty).ignore_unseen_deliveries().start().await;
        let data = json!({"text": "x".repeat(1 << 20)});
        for _ in 0..4 {
            server.api.post("events", &json!({"type": "a.b", "data": data})).await.expect(202);
        }
        let mut wire = Wire::open(&server.base).await;
        let key = server.api.key();
        let list = format!(
            "GET /v1/tenants/default/events?limit=200&include=data HTTP/1.1\r\nhost: antar\r\nauthorization: Bearer {key}\r\n\r\n"
        );
        wire.send(list.repeat(20)).await;
        // More than the sockets hold between them.
        eventually("it is left", async || (connections(&server).await == 0).then_some(())).await;
        drop(wire);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_do_not_fill_the_log() {
    let settings = [("ANTAR_LOG_LINES_PER_MINUTE_MAX", "40"), ("ANTAR_LOG_FORMAT", "json")];
    let server = BinaryServer::start_with(Database::sqlite(), &settings).await;
    let before = server.log().len();
    for number in 0..50 {
        let mut wire = Wire::open(&server.base).await;
        let long = "x".repeat(60_000);
        let (path, status) = match number % 2 {
            0 => (format!("/nothing/{long}"), 404),
            _ => (format!("/v1/tenants?{long}"), 401),
        };
        let junk = format!("GET {path} HTTP/1.1\r\nhost: antar\r\nuser-agent: {long}\r\n\r\n");
        wire.send(junk).await;
        assert_eq!(wire.answer().await.status, status);
        // What is no request at all.
        let mut wire = Wire::open(&server.base).await;
        wire.send("\u{1}\r\n\r\n".repeat(10)).await;
        wire.try_answer().await;
    }
    let log = server.log();
    let written = &log[before..];
    let lines: Vec<Value> =
        written.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let refused = |status: u16| lines.iter().filter(|line| line["status"] == status).count();
    assert_eq!((refused(404), refused(401)), (10, 10));
    let answered = lines.iter().find(|line| line["status"] == 404).unwrap();
    assert_eq!(answered["address"], "127.0.0.1");
    assert!(answered["span"]["path"].as_str().unwrap().len() <= 256, "{answered}");
    assert!(lines.len() <= 70, "{}: {written}", lines.len());
    assert!(written.len() < 40_000, "{} bytes: {written}", written.len());
}
