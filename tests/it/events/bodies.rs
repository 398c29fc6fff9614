//! Request bodies from callers who mean harm: nothing is read for strangers, and what is held is bounded.

use antar::config::Config;
use antar_harness::{
    Api, Call, Database, Receiver, TestServer, Wire, eventually, on_both_databases,
};
use antar_test_guests::Guest;
use serde_json::{Value, json};

const KIB: usize = 1 << 10;

/// The head of a POST with a body of `length` bytes.
fn head(path: &str, key: Option<&str>, length: usize) -> String {
    let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    format!(
        "POST {path} HTTP/1.1\r\nhost: antar\r\n{key}content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

fn chunked_head(path: &str, key: Option<&str>) -> String {
    let fixed = head(path, key, 0);
    fixed.replace("content-length: 0", "transfer-encoding: chunked")
}

/// A gauge of `/metrics`.
pub(super) async fn gauge(api: &Api, name: &str) -> usize {
    let text = api.get("/metrics").await.expect(200).text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

async fn in_memory(api: &Api) -> usize {
    gauge(api, "antar_body_bytes_in_flight{place=\"memory\"}").await
}

async fn in_files(api: &Api) -> usize {
    gauge(api, "antar_body_bytes_in_flight{place=\"file\"}").await
}

/// An event whose JSON has this many bytes, more or less.
fn event_of(bytes: usize) -> Value {
    json!({"type": "a.b", "data": {"text": "x".repeat(bytes)}})
}

/// Opens a connection and sends a part of a body.
async fn half_sent(server: &TestServer, head: &str, part: usize) -> Wire {
    let mut wire = Wire::open(&server.base).await;
    wire.send(head).await;
    wire.send("x".repeat(part)).await;
    wire
}

on_both_databases! {
    async fn strangers_are_refused_before_their_bodies_are_read(server: TestServer) {
        let source = server.api.post("sources", &json!({"name": "s", "event_type": "a.b"})).await.expect(201).json();
        let wrong_secret = format!("/in/{}/0123456789abcdef", source["id"].as_str().unwrap());
        let events = "/v1/tenants/default/events";
        let scoped = server.api.create_key(&["read"]).await;
        let forged = "antar_0123456789abcdef0123456789abcdef";
        for (path, key, status, code) in [
            (events, None, 401, "unauthorized"),
            (events, Some(forged), 401, "unauthorized"),
            (events, Some(scoped.as_str()), 403, "scope_missing"),
            ("/v1/tenants/other/events", Some(server.api.key()), 404, "not_found"),
            ("/v1/tenants/default/plugins?name=p", None, 401, "unauthorized"),
            ("/v1/keys", Some(scoped.as_str()), 403, "operator_only"),
            ("/nothing", None, 404, "not_found"),
            ("/v1/nothing", None, 404, "not_found"),
            (&wrong_secret, None, 404, "not_found"),
            ("/in/no-source/secret", None, 404, "not_found"),
            ("/metrics", None, 405, "method_not_allowed"),
        ] {
            for head in [head(path, key, 4 << 20), chunked_head(path, key)] {
                let mut wire = Wire::open(&server.base).await;
                wire.send(&head).await;
                wire.send("5\r\nhello\r\n").await;
                let answer = wire.answer().await;
                assert_eq!(answer.problem(), (status, code.to_owned()), "{head}");
                assert!(answer.head.contains("connection: close"), "{}", answer.head);
                // The rest is not awaited, and is no request.
                wire.send("GET /healthz HTTP/1.1\r\nhost: antar\r\n\r\n").await;
                assert_eq!(wire.finish().await, b"", "{head}");
            }
        }
        assert_eq!(in_memory(&server.api).await, 0);
    }

    async fn a_source_that_is_no_more_takes_no_body_that_began_before(server: TestServer) {
        for gone in ["rotated", "deleted", "erased"] {
            let tenant = server.create_tenant(gone).await;
            let source = json!({"name": "s", "event_type": "a.b"});
            let source = tenant.post("sources", &source).await.expect(201).json();
            let url = source["url"].as_str().unwrap();
            let path = &url[url.find("/in/").unwrap()..];
            let id = source["id"].as_str().unwrap();
            let mut wire = half_sent(&server, &head(path, None, 9), 0).await;
            wire.send(r#"{"n""#).await;
            // The head has been read, and found to be right.
            eventually("the beginning has arrived", async || {
                (in_memory(&server.api).await > 0).then_some(())
            })
            .await;
            match gone {
                "rotated" => {
                    let path = format!("sources/{id}/secret/rotate");
                    tenant.post(&path, &json!({})).await.expect(200);
                }
                "deleted" => {
                    tenant.delete(&format!("sources/{id}")).await.expect(204);
                }
                _ => {
                    server.api.delete(&format!("/v1/tenants/{gone}")).await.expect(204);
                    server.create_tenant(gone).await;
                }
            }
            wire.send(r#": 17}"#).await;
            assert_eq!(wire.answer().await.problem(), (404, "not_found".to_owned()), "{gone}");
            let events = "SELECT count(*) AS number FROM events";
            assert_eq!(server.number_in_database(events).await, 0, "{gone}");
        }
    }

    async fn a_body_that_was_refused_is_not_the_next_request(server: TestServer) {
        let smuggled = "GET /healthz HTTP/1.1\r\nhost: antar\r\n\r\n";
        let chunk = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
        for whole in [
            format!("{}{smuggled}", head("/nothing", None, smuggled.len())),
            format!("{}{chunk}", chunked_head("/nothing", None)),
        ] {
            let mut wire = Wire::open(&server.base).await;
            wire.send(&whole).await;
            assert_eq!(wire.answer().await.status, 404);
            assert_eq!(wire.finish().await, b"", "one request, one answer");
        }
    }

    async fn only_callers_with_a_key_are_told_to_send_their_body(server: TestServer) {
        let body = event_of(100).to_string();
        let expecting = |head: String| head.replacen("\r\n", "\r\nexpect: 100-continue\r\n", 1);
        let events = "/v1/tenants/default/events";
        for (path, key, status) in [
            (events, None, 401),
            (events, Some("antar_no"), 401),
            ("/nothing", None, 404),
            ("/in/a/b", None, 404),
        ] {
            for head in [head(path, key, 4 << 20), chunked_head(path, key)] {
                let mut wire = Wire::open(&server.base).await;
                wire.send(expecting(head)).await;
                let answer = wire.answer().await;
                assert_eq!((answer.status, answer.head.contains("x-request-id: ")), (status, true), "{answer:?}");
                assert!(answer.head.contains("connection: close"), "{}", answer.head);
                assert_eq!(wire.finish().await, b"");
            }
        }
        let source = server.api.post("sources", &json!({"name": "s", "event_type": "a.b"})).await.expect(201).json();
        let url = format!("/in/{}/{}", source["id"].as_str().unwrap(), source["secret"].as_str().unwrap());
        for (path, key, status) in [(events, Some(server.api.key()), 202), (&url, None, 200)] {
            let mut wire = Wire::open(&server.base).await;
            wire.send(expecting(head(path, key, body.len()))).await;
            assert_eq!(wire.answer().await.status, 100);
            wire.send(&body).await;
            assert_eq!(wire.answer().await.status, status);
        }
    }

    async fn a_tenants_half_sent_bodies_are_bounded_and_others_are_served(database: Database) {
        const TENANT_MAX: usize = 1_024 * KIB;
        let few = |config: &mut Config| {
            config.intake.body_bytes_in_flight_max = 4 * TENANT_MAX;
            config.intake.body_bytes_in_flight_per_tenant_max = TENANT_MAX;
        };
        let server = database.server().config(few).start().await;
        let (greedy, modest) = (server.create_tenant("greedy").await, server.create_tenant("modest").await);
        let key = greedy.create_key(&["publish"]).await;
        let head = head("/v1/tenants/greedy/events", Some(&key), 600 * KIB);
        let mut held = Vec::new();
        let refused = loop {
            let mut wire = half_sent(&server, &head, 300 * KIB).await;
            let before = in_memory(&server.api).await;
            // Until it is refused, or what it sent has been counted.
            let answer = tokio::select! {
                answer = wire.try_answer() => Some(answer.unwrap()),
                () = eventually("it is counted", async || {
                    (in_memory(&server.api).await >= (held.len() + 1) * 300 * KIB).then_some(())
                }) => None,
            };
            assert!(before <= TENANT_MAX, "{before}");
            match answer {
                Some(answer) => break answer,
                None => held.push(wire),
            }
            assert!(held.len() < 8, "nobody is refused");
        };
        assert_eq!(refused.problem(), (429, "too_many_requests".to_owned()));
        assert!(refused.head.contains("retry-after: 1\r\n"), "{}", refused.head);
        let detail = String::from_utf8_lossy(&refused.body).into_owned();
        assert!(detail.contains("intake.body_bytes_in_flight_per_tenant_max"), "{detail}");
        // Another tenant is served, and so is a short event of this one.
        modest.post("events", &event_of(500 * KIB)).await.expect(202);
        greedy.post("events", &event_of(KIB)).await.expect(202);
        drop(held);
        eventually("all is given back", async || (in_memory(&server.api).await == 0).then_some(())).await;
        greedy.post("events", &event_of(500 * KIB)).await.expect(202);
    }

    async fn many_tenants_together_leave_room_for_one_more(database: Database) {
        let small = |config: &mut Config| config.intake.body_bytes_in_flight_max = 2 << 20;
        let server = database.server().config(small).start().await;
        let mut held = Vec::new();
        for number in 0..6 {
            let name = format!("t{number}");
            let key = server.create_tenant(&name).await.create_key(&["publish"]).await;
            for _ in 0..4 {
                let head = head(&format!("/v1/tenants/{name}/events"), Some(&key), 900 * KIB);
                held.push(half_sent(&server, &head, 800 * KIB).await);
            }
        }
        let last = server.create_tenant("last").await;
        for _ in 0..20 {
            last.post("events", &event_of(10 * KIB)).await.expect(202);
            assert!(in_memory(&server.api).await <= 2 << 20);
        }
        drop(held);
    }

    async fn a_body_without_an_end_ends(server: TestServer) {
        for (path, key, status) in
            [("/v1/tenants/default/events", Some(server.api.key()), 413), ("/nothing", None, 404)]
        {
            let mut wire = Wire::open(&server.base).await;
            wire.send(chunked_head(path, key)).await;
            let chunk = format!("{:x}\r\n{}\r\n", 64 * KIB, "x".repeat(64 * KIB));
            // One more than `intake.body_bytes_max` takes.
            for _ in 0..if status == 413 { 65 } else { 1 } {
                wire.send(&chunk).await;
            }
            assert_eq!(wire.answer().await.status, status);
            // Once it is refused, its sender can't go on for ever.
            let mut sent = 0;
            while wire.send(&chunk).await {
                sent += 1;
                assert!(sent < 1_000_000, "the server takes all");
            }
        }
        eventually("all is given back", async || (in_memory(&server.api).await == 0).then_some(())).await;
    }

    async fn tiny_chunks_hold_no_more_than_their_bytes(database: Database) {
        let small = |config: &mut Config| config.intake.body_bytes_in_flight_per_tenant_max = 64 * KIB;
        let server = database.server().config(small).start().await;
        let mut wire = Wire::open(&server.base).await;
        wire.send(chunked_head("/v1/tenants/default/events", Some(server.api.key()))).await;
        wire.send("1\r\nx\r\n".repeat(60 * KIB)).await;
        // 60 KiB in chunks of one byte fit into 64 KiB.
        eventually("they are counted", async || (in_memory(&server.api).await >= 60 * KIB).then_some(())).await;
        assert!(in_memory(&server.api).await <= 64 * KIB);
        wire.send("0\r\n\r\n").await;
        assert_eq!(wire.answer().await.problem(), (400, "malformed_json".to_owned()));
    }

    async fn a_slow_body_ends(database: Database) {
        let hasty = |config: &mut Config| config.intake.body_timeout_ms = 300;
        let server = database.server().config(hasty).start().await;
        let mut wire = half_sent(&server, &head("/v1/tenants/default/events", Some(server.api.key()), 100), 10).await;
        assert_eq!(wire.answer().await.problem(), (408, "request_timeout".to_owned()));
        assert_eq!(wire.end().await, b"");
    }

    async fn a_long_body_waits_on_disk_and_works(database: Database) {
        let small = |config: &mut Config| config.intake.body_memory_bytes_max = 32 * KIB;
        let server = database.server().config(small).start().await;
        let receiver = Receiver::start().await;
        server.api.create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})).await;
        // Announced, and in chunks whose number nobody knows before.
        let event = event_of(900 * KIB).to_string();
        let (first, second) = event.split_at(500 * KIB);
        let events = "/v1/tenants/default/events";
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        for (head, first, second) in [
            (head(events, Some(server.api.key()), event.len()), first.to_owned(), second.to_owned()),
            (chunked_head(events, Some(server.api.key())), chunk(first), format!("{}0\r\n\r\n", chunk(second))),
        ] {
            let mut wire = Wire::open(&server.base).await;
            wire.send(head).await;
            wire.send(first).await;
            eventually("it is in a file", async || (in_files(&server.api).await >= 300 * KIB).then_some(())).await;
            assert!(in_memory(&server.api).await <= 256 * KIB);
            assert!(std::fs::read_dir(server.data_dir()).unwrap().count() < 10, "the file has no name");
            wire.send(second).await;
            assert_eq!(wire.answer().await.status, 202);
        }
        for request in receiver.wait(2).await {
            assert_eq!(request.json()["data"]["text"].as_str().unwrap().len(), 900 * KIB);
        }
        let wasm = Guest::Hostile.wasm();
        let call = server.api.call("POST", "plugins?name=hostile").header("content-type", "application/wasm");
        call.body(wasm).send().await.expect(201);
        eventually("all is given back", async || {
            (in_memory(&server.api).await + in_files(&server.api).await == 0).then_some(())
        })
        .await;
    }

    async fn slow_uploads_hold_disk_up_to_a_limit(database: Database) {
        let small = |config: &mut Config| {
            config.intake.body_file_bytes_per_tenant_max = 3 << 20;
        };
        let server = database.server().config(small).start().await;
        let head = head("/v1/tenants/default/plugins?name=p", Some(server.api.key()), 60 << 20);
        let head = head.replace("application/json", "application/wasm");
        let mut uploads = Vec::new();
        for _ in 0..5 {
            uploads.push(half_sent(&server, &head, 1 << 20).await);
        }
        let mut refused = 0;
        for wire in &mut uploads {
            if let Ok(answer) = tokio::time::timeout(std::time::Duration::from_secs(1), wire.answer()).await {
                assert_eq!(answer.problem(), (429, "too_many_requests".to_owned()));
                refused += 1;
            }
        }
        assert!(refused >= 2, "{refused}");
        assert!(in_files(&server.api).await <= 3 << 20);
        // Less than the bytes that are on disk.
        assert!(in_memory(&server.api).await <= 3 * 256 * KIB);
        server.create_tenant("other").await.post("events", &event_of(2 << 20)).await.expect(202);
        drop(uploads);
        eventually("all is given back", async || (in_files(&server.api).await == 0).then_some(())).await;
    }

    async fn callers_without_a_key_are_counted_by_address(database: Database) {
        let few = |config: &mut Config| {
            config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
            config.intake.body_bytes_in_flight_per_address_max = 200 * KIB;
        };
        let server = database.server().config(few).start().await;
        let source = server.api.post("sources", &json!({"name": "s", "event_type": "a.b"})).await.expect(201).json();
        let url = format!("/in/{}/{}", source["id"].as_str().unwrap(), source["secret"].as_str().unwrap());
        let from = |address: &str| {
            head(&url, None, 160 * KIB).replacen("\r\n", &format!("\r\nx-forwarded-for: 1.1.1.1, {address}\r\n"), 1)
        };
        let first = half_sent(&server, &from("2001:db8::1"), 150 * KIB).await;
        eventually("it is counted", async || (in_memory(&server.api).await >= 150 * KIB).then_some(())).await;
        // The same /64 is the same customer.
        let mut second = half_sent(&server, &from("2001:db8::2"), 150 * KIB).await;
        let refused = second.answer().await;
        assert_eq!(refused.problem(), (429, "too_many_requests".to_owned()));
        let call = Call::new("POST", &format!("{}{url}", server.base)).header("x-forwarded-for", "203.0.113.7");
        call.json(&event_of(150 * KIB)).send().await.expect(200);
        drop(first);
    }
}
