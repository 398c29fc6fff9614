//! Receivers that break off, trickle, flood, or never listen: an attempt of theirs ends in time, within
//! bounds, with a word that says what it was, and the next one is made.

use std::time::Duration;

use antar_harness::{
    Api, BinaryServer, Database, Door, Receiver, Reply, TestServer, on_both_databases,
};
use serde_json::{Value, json};

use super::{event, persistent_webhook};

fn webhook(receiver: &Receiver, timeout_ms: u64) -> Value {
    let mut webhook = persistent_webhook(receiver);
    webhook["timeout_ms"] = timeout_ms.into();
    webhook
}

/// The record of the first attempt, once the event's second one went well.
async fn first_of_two(api: &Api) -> Value {
    let delivery = api.delivery_in("delivered", "event_id=e").await;
    let attempts = api.attempts(&delivery).await;
    assert_eq!(attempts.len(), 2, "{attempts:#?}");
    attempts.into_iter().find(|attempt| attempt["number"] == 1).unwrap()
}

fn first_then_ok(receiver: &Receiver, first: Reply) {
    receiver.reply_with(move |_, nth| if nth == 1 { first.clone() } else { Reply::ok() });
}

on_both_databases! {
    async fn one_that_resets_the_connection_in_the_middle_of_its_answer(server: TestServer) {
        let receiver = Receiver::start().await;
        first_then_ok(&receiver, Reply::ok().body("the beginning").reset_midway());
        server.api.create_webhook(&webhook(&receiver, 20_000)).await;
        server.api.send(&event("e")).await;
        let first = first_of_two(&server.api).await;
        let error = first["error"].as_str().unwrap();
        assert!(error.starts_with("the connection broke: ") && error.contains("reset"), "{error}");
        assert_eq!(receiver.wait(2).await[0].body, receiver.requests()[1].body);
    }

    async fn one_that_trickles_its_answer_past_the_deadline(server: TestServer) {
        let receiver = Receiver::start().await;
        first_then_ok(&receiver, Reply::ok().trickling(Duration::from_millis(100)));
        server.api.create_webhook(&webhook(&receiver, 500)).await;
        server.api.send(&event("e")).await;
        let first = first_of_two(&server.api).await;
        assert_eq!(first["error"], "the answer 200 began, but had not ended within 500 ms");
        assert_eq!(first["response"]["truncated"], true);
        let taken = receiver.wait_broken_off().await;
        assert!(taken < 100, "{taken} bytes in half a second, one each tenth of it");
        receiver.wait(2).await;
    }

    async fn one_whose_answer_is_a_gibibyte(database: Database) {
        let receiver = Receiver::start().await;
        first_then_ok(&receiver, Reply::status(500).flooding(1 << 30));
        let server = BinaryServer::start(database).await;
        server.api.create_webhook(&persistent_webhook(&receiver)).await;
        let memory = server.peak_memory_bytes();
        server.api.send(&event("e")).await;
        let first = first_of_two(&server.api).await;
        assert_eq!(first["response"]["status"], 500);
        assert_eq!(first["response"]["truncated"], true);
        assert_eq!(first["response"]["body"].as_str().unwrap().len(), 64 << 10);
        let taken = receiver.wait_broken_off().await;
        assert!(taken < 64 << 20, "{taken} bytes were taken, buffers of the system included");
        let grown = server.peak_memory_bytes().saturating_sub(memory);
        assert!(grown < 32 << 20, "{grown} bytes more");
        receiver.wait(2).await;
    }

    async fn one_that_never_reads_what_it_is_sent(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.doors(|nth| if nth == 1 { Door::Deaf } else { Door::Open });
        server.api.create_webhook(&webhook(&receiver, 500)).await;
        // More than the system's buffers take.
        let text = "x".repeat(4_000_000);
        server.api.send(&json!({"type": "a.b", "id": "e", "data": {"text": text}})).await;
        let first = first_of_two(&server.api).await;
        assert_eq!(first["error"], "no answer within 500 ms");
        assert_eq!(receiver.wait(1).await[0].json()["data"]["text"], text.as_str());
    }

    async fn one_that_closes_each_connection_at_once(server: TestServer) {
        let receiver = Receiver::start().await;
        receiver.doors(|nth| if nth <= 3 { Door::Slammed } else { Door::Open });
        server.api.create_webhook(&persistent_webhook(&receiver)).await;
        server.api.send(&event("e")).await;
        let delivery = server.api.delivery_in("delivered", "event_id=e").await;
        let attempts = server.api.attempts(&delivery).await;
        assert_eq!(attempts.len(), 4);
        assert_eq!(receiver.connections(), 4, "one for each attempt");
        for failed in attempts.iter().filter(|attempt| attempt["number"] != 4) {
            let error = failed["error"].as_str().unwrap();
            assert!(error.starts_with("the connection broke: "), "{error}");
        }
        assert_eq!(receiver.wait(1).await.len(), 1);
    }
}
