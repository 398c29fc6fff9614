//! What breaks under the server or around it, by name, the real thing each time: nothing that was
//! accepted is lost, and it recovers by itself. docs/reliability.md lists them.

mod clock;
mod commits;
mod database;
mod disk;
mod receiver;

use antar_harness::{BinaryServer, Receiver};
use serde_json::{Value, json};

/// A webhook for everything.
fn webhook(receiver: &Receiver) -> Value {
    json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]})
}

/// A webhook that tries again at once.
fn persistent_webhook(receiver: &Receiver) -> Value {
    let retry = json!({"schedule_s": [0], "attempts_max": 100, "jitter": 0});
    json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"], "retry": retry})
}

fn event(id: &str) -> Value {
    json!({"type": "a.b", "id": id, "data": {}})
}

/// Posts an event that is refused, as one that can be posted again later.
async fn refused(server: &BinaryServer, event: &Value) {
    let answer = server.api.post("events", event).await;
    assert_eq!(answer.problem(), (503, "unavailable".to_owned()), "{}", answer.text());
    assert!(answer.headers.contains_key("retry-after"));
}
