//! Connections to receivers: whose they are, when they end, and what a receiver can do with them.

use antar::config::Config;
use antar_harness::{
    Api, Database, Delivery, Receiver, Reply, TestServer, eventually, on_both_databases,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn event() -> Value {
    json!({"type": "a.b", "data": {}})
}

async fn create(api: &Api, url: &str, more: Value) {
    let mut webhook = json!({"name": "w", "url": url, "event_types": ["*"]});
    webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    api.create_webhook(&webhook).await;
}

/// Sends an event and waits until it is delivered.
async fn deliver(api: &Api) {
    let event_id = api.send(&event()).await;
    api.delivery_in("delivered", &format!("event_id={event_id}")).await;
}

/// The reason of the failure of an event that is tried once.
async fn failure(api: &Api) -> String {
    let event_id = api.send(&event()).await;
    api.delivery_in("failed", &format!("event_id={event_id}")).await.reason.unwrap()
}

on_both_databases! {
    async fn tenants_share_no_connection(server: TestServer) {
        let receiver = Receiver::start().await;
        let other = server.create_tenant("other").await;
        for api in [&server.api, &other] {
            create(api, &receiver.url("/w"), json!({})).await;
        }
        for _ in 0..3 {
            deliver(&server.api).await;
            deliver(&other).await;
        }
        receiver.wait(6).await;
        assert_eq!(receiver.connections(), 2, "one for each tenant, used three times");
    }

    async fn nothing_follows_a_body_that_the_receiver_may_not_read(server: TestServer) {
        for (method, connections) in [("GET", 3), ("DELETE", 3), ("POST", 1), ("PUT", 1)] {
            let receiver = Receiver::start().await;
            let api = server.create_tenant(&method.to_lowercase()).await;
            let smuggled = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n";
            let more = json!({"method": method, "body": smuggled, "headers": {"content-type": "text/plain"}});
            create(&api, &receiver.url("/w"), more).await;
            for _ in 0..3 {
                deliver(&api).await;
            }
            let requests = receiver.wait(3).await;
            assert_eq!(receiver.connections(), connections, "{method}");
            let closes = requests.iter().filter(|request| request.header("connection") == Some("close"));
            assert_eq!(closes.count() == 3, connections == 3, "{method}");
        }
        let receiver = Receiver::start().await;
        let api = server.create_tenant("plain").await;
        create(&api, &receiver.url("/w"), json!({"method": "GET"})).await;
        for _ in 0..3 {
            deliver(&api).await;
        }
        receiver.wait(3).await;
        assert_eq!(receiver.connections(), 1, "a GET without a body is followed by others");
    }

    async fn an_answer_that_is_cut_off_ends_its_connection(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply(Reply::ok().flooding(10 << 20));
        create(&server.api, &receiver.url("/w"), json!({})).await;
        for _ in 0..2 {
            deliver(&server.api).await;
        }
        receiver.wait(2).await;
        assert_eq!(receiver.connections(), 2);
        assert!(receiver.wait_broken_off().await < 10 << 20);
    }

    async fn heads_and_trailers_without_end_are_cut_off(server: TestServer) {
        let chunked: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let trailer: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
        let cases: [(&str, &[u8], &[u8]); 6] = [
            ("continue", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
            ("hints", b"", b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"),
            ("headers", b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
            ("trailers", trailer, b"x: y\r\n"),
            ("chunks", chunked, b"1\r\nx\r\n"),
            ("padding", chunked, b"0000000001;padding=padding\r\nx\r\n"),
        ];
        for (name, first, again) in cases {
            let receiver = Receiver::start().await;
            receiver.reply(Reply::repeating(first, again));
            let api = server.create_tenant(name).await;
            let more = json!({"timeout_ms": 60_000, "retry": {"attempts_max": 1}});
            create(&api, &receiver.url("/w"), more).await;
            let event_id = api.send(&event()).await;
            let query = format!("event_id={event_id}");
            let has_ended = |d: &Delivery| ["failed", "delivered"].contains(&d.state.as_str());
            let ended = api.delivery_that("has ended", &query, has_ended).await;
            assert!(!format!("{:?}", ended.reason).contains("within"), "{name}: {ended:?}");
            // Some megabytes are on their way in the sockets of both sides.
            let sent = receiver.wait_broken_off().await;
            assert!(sent < 32 << 20, "{name}: {sent} bytes");
            receiver.wait(1).await;
        }
    }

    async fn a_receiver_that_stops_reading_keeps_nothing(database: Database) {
        const BODY: usize = 16 << 20;
        let settings = |config: &mut Config| {
            config.intake.body_bytes_max = 32 << 20;
            config.delivery.timeout_ms = 500;
        };
        let server = database.server().config(settings).ignore_unseen_deliveries().start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/w", listener.local_addr().unwrap());
        create(&server.api, &url, json!({"retry": {"attempts_max": 1}})).await;
        let large = json!({"type": "a.b", "data": {"text": "x".repeat(BODY)}});
        let event_id = server.api.send(&large).await;
        let (mut stream, _) = listener.accept().await.unwrap();
        server.api.delivery_in("failed", &format!("event_id={event_id}")).await;
        // What was on its way by then is all that ever comes.
        let mut received = 0;
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            received += length;
        }
        assert!(received < BODY, "the rest of the request was kept, and sent after the end");
    }

    async fn a_connection_that_the_receiver_closed_costs_no_attempt(server: TestServer) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/w", listener.local_addr().unwrap());
        create(&server.api, &url, json!({})).await;
        let receiver = tokio::spawn(async move {
            for _ in 0..3 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = vec![0; 64 << 10];
                let _ = stream.read(&mut buffer).await.unwrap();
                // It says that it keeps the connection, and closes it.
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
        });
        for _ in 0..3 {
            let event_id = server.api.send(&event()).await;
            let delivery = server.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
            assert_eq!(delivery.attempts, 1);
        }
        receiver.await.unwrap();
    }

    async fn idle_connections_are_bounded(database: Database) {
        let settings = |config: &mut Config| {
            config.delivery.idle_per_tenant_max = 8;
            config.delivery.idle_max = 12;
        };
        let server = database.server().config(settings).start().await;
        let quiet = server.create_tenant("quiet").await;
        let one = Receiver::start().await;
        create(&quiet, &one.url("/w"), json!({})).await;
        deliver(&quiet).await;
        let mut receivers = Vec::new();
        for n in 0..20 {
            let receiver = Receiver::start().await;
            let webhook = json!({"name": format!("w{n}"), "url": receiver.url("/w"), "event_types": ["*"]});
            server.api.create_webhook(&webhook).await;
            receivers.push(receiver);
        }
        for round in 1..=2 {
            let event_id = server.api.send(&event()).await;
            eventually("all are delivered", async || {
                let rows = server.api.deliveries(&format!("event_id={event_id}&state=delivered")).await;
                (rows.len() == 20).then_some(())
            })
            .await;
            for receiver in &receivers {
                receiver.wait(round).await;
            }
        }
        let opened: usize = receivers.iter().map(Receiver::connections).sum();
        assert!(opened >= 32, "at most eight of twenty are kept, {opened} were opened");
        deliver(&quiet).await;
        one.wait(2).await;
        assert_eq!(one.connections(), 1, "the connection of the quiet tenant is still there");
    }

    async fn an_unfinished_answer_is_no_success(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.reply(Reply::ok().reset_midway());
        create(&server.api, &receiver.url("/w"), json!({"retry": {"attempts_max": 1}})).await;
        let reason = failure(&server.api).await;
        assert!(reason.contains("the connection broke"), "{reason}");
        receiver.wait(1).await;
    }
}
