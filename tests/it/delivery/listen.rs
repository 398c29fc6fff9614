//! Attempts shown as they happen, and forwarded to a local address.

use std::process::Stdio;

use antar_harness::{BinaryServer, DEADLINE, Database, Receiver, Reply, binary, verify};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// `antar listen`, which ends with the test.
struct Listening {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Listening {
    async fn start(server: &BinaryServer, words: &[&str]) -> Listening {
        let mut child = Command::new(binary())
            .arg("listen")
            .args(words)
            .env("ANTAR_URL", &server.base)
            .env("ANTAR_KEY", &server.key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut listening = Listening { lines, _child: child };
        assert_eq!(listening.next().await["kind"], "listening");
        listening
    }

    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await;
        let line = line.expect("a line in time").unwrap().expect("antar listen goes on");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_are_printed_as_they_happen() {
    let receiver = Receiver::start().await;
    receiver.reply_with(|request, nth| {
        Reply::status(if request.path() == "/w" && nth == 1 { 500 } else { 200 })
    });
    let mut server = BinaryServer::start(Database::sqlite()).await;
    let retry = json!({"schedule_s": [1], "attempts_max": 2, "jitter": 0});
    let webhook =
        json!({"name": "crm", "url": receiver.url("/w"), "event_types": ["a.*"], "retry": retry});
    server.api.create_webhook(&webhook).await;
    let other = json!({"name": "other", "url": receiver.url("/other"), "event_types": ["*"]});
    server.api.create_webhook(&other).await;
    let mut listening = Listening::start(&server, &["--webhook", "crm", "--type", "a.*"]).await;
    let event_id = server.api.send(&json!({"type": "a.b", "data": {"n": 1}})).await;
    let first = listening.next().await;
    assert_eq!(
        (&first["kind"], &first["event_type"], &first["webhook"]),
        (&json!("attempt"), &json!("a.b"), &json!("crm"))
    );
    assert_eq!(
        (&first["delivery"]["state"], &first["delivery"]["event_id"]),
        (&json!("pending"), &json!(event_id))
    );
    assert_eq!(first["attempt"]["response"]["status"], 500);
    assert_eq!(first["attempt"]["request"]["url"], receiver.url("/w"));
    let second = listening.next().await;
    assert_eq!(
        (&second["delivery"]["state"], &second["delivery"]["attempts"]),
        (&json!("delivered"), &json!(2))
    );
    assert_eq!(second["delivery"]["id"], first["delivery"]["id"]);
    // The server goes and comes back; so does the stream.
    server.kill();
    assert_eq!(listening.next().await["kind"], "interrupted");
    server.start_again().await;
    while listening.next().await["kind"] != "listening" {}
    server.api.send(&json!({"type": "a.c", "data": {}})).await;
    assert_eq!(listening.next().await["event_type"], "a.c");
    receiver.wait(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_is_forwarded_with_signatures_that_verify() {
    // Whoever the webhook names need not be there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", nobody.local_addr().unwrap());
    drop(nobody);
    let local = Receiver::start().await;
    local.reply(Reply::status(204));
    let server = BinaryServer::start(Database::sqlite()).await;
    server.api.put("secrets/crm_key", &json!({"value": "s3cr3t-value"})).await;
    let webhook = server
        .api
        .create_webhook(&json!({
            "name": "w", "url": url, "event_types": ["*"], "method": "PUT", "retry": {"attempts_max": 1},
            "headers": {"X-Key": "{{antar.secret.crm_key}}", "X-N": "{{data.n}}"},
        }))
        .await;
    let forward = local.url("/local");
    let mut listening = Listening::start(&server, &["--forward", &forward]).await;
    let event_id = server.api.send(&json!({"type": "a.b", "data": {"n": 7}})).await;
    let shown = listening.next().await;
    assert_eq!(shown["delivery"]["state"], "failed");
    assert_eq!(
        (&shown["forwarded"]["status"], &shown["forwarded"]["left_out"]),
        (&json!(204), &json!(["x-key"]))
    );
    let request = local.wait(1).await.remove(0);
    assert_eq!(
        (request.method.as_str(), request.path(), request.header("x-n")),
        ("PUT", "/local", Some("7"))
    );
    assert_eq!(
        (request.header("webhook-id"), request.header("x-key")),
        (Some(event_id.as_str()), None)
    );
    verify::assert_standard_v1(&request, &webhook.secret);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_too_long_for_the_stream_is_left_out_of_it_and_forwarded_all_the_same() {
    let receiver = Receiver::start().await;
    let local = Receiver::start().await;
    let server = BinaryServer::start(Database::sqlite()).await;
    let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]});
    server.api.create_webhook(&webhook).await;
    let mut stream = server.api.open("deliveries/stream").await;
    stream.until(": listening").await;
    let mut listening = Listening::start(&server, &["--forward", &local.url("/local")]).await;
    let long = "x".repeat(300_000);
    server.api.send(&json!({"type": "a.b", "data": {"long": long}})).await;
    let shown = listening.next().await;
    assert_eq!(shown["forwarded"]["status"], 200);
    let sent = receiver.wait(1).await.remove(0);
    assert!(sent.body.len() > 300_000);
    assert_eq!(local.wait(1).await.remove(0).body, sent.body);
    stream.until("\"left_out\":[\"request.body\"]").await;
    assert!(stream.text().len() < 4_000, "{}", stream.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_does_not_read_is_told_what_it_lost_and_ends() {
    const EVENTS: usize = 60;
    let server = Database::sqlite().server().config(|config| {
        config.tenant.listener_bytes_max = 2 << 20;
        config.server.write_timeout_ms = 120_000;
    });
    let server = server.start().await;
    let receiver = Receiver::start().await;
    let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]});
    server.api.create_webhook(&webhook).await;
    let mut silent = server.api.open("deliveries/stream").await;
    silent.until(": listening").await;
    let mut reading = server.api.open("deliveries/stream").await;
    reading.until(": listening").await;
    let long = "x".repeat(200_000);
    for n in 0..EVENTS {
        let id = format!("event-{n}");
        server.api.send(&json!({"type": "a.b", "id": id, "data": {"long": long}})).await;
        reading.until(&format!("\"event_id\":\"{id}\"")).await;
    }
    // Who keeps up hears all; who does not hears what the connection holds, and then the end.
    let told = silent.to_end().await;
    let heard = told.matches("event: attempt").count();
    let lagged = told.split("event: lagged\ndata: ").nth(1).expect("it is told");
    let lost = lagged.lines().next().unwrap();
    let lost = serde_json::from_str::<Value>(lost).unwrap()["lost"].as_u64().unwrap();
    assert_eq!(heard + usize::try_from(lost).unwrap(), EVENTS, "{heard} heard, {lost} lost");
    receiver.wait(EVENTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_a_bounded_number_of_listeners_and_only_its_own_attempts() {
    let server = Database::sqlite().server().config(|c| c.tenant.listeners_max = 0).start().await;
    let refused = server.api.get("deliveries/stream").await;
    assert_eq!(refused.problem(), (409, "conflict".to_owned()));
    let foreign = server.create_tenant("other").await;
    let key = foreign.create_key(&["read"]).await;
    let other = server.api.with_key(Some(&key)).get("deliveries/stream").await;
    assert_eq!(other.problem().0, 404);
}
