//! SQLite on a disk that is full, or that fails to keep what it was given.

use std::time::Duration;

use antar_harness::{BinaryServer, Database, Disk, Receiver, Reply};
use serde_json::json;

use super::{event, persistent_webhook, refused, webhook};

async fn start(disk: &Disk) -> BinaryServer {
    BinaryServer::start_with(Database::sqlite(), &disk.environment()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_events_and_goes_on_when_there_is_room() {
    let Some(disk) = Disk::new() else { return };
    let mut server = start(&disk).await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::ok().after(Duration::from_millis(200)));
    server.api.create_webhook(&webhook(&receiver)).await;
    server.api.send(&event("before")).await;
    receiver.wait(1).await;
    // Before the answer to the attempt can be recorded.
    disk.fill();
    let large = json!({"type": "a.b", "id": "e", "data": {"text": "x".repeat(2_000_000)}});
    // The first few fill buffers that stay.
    let mut memory = 0;
    for n in 0..25 {
        memory = if n == 5 { server.peak_memory_bytes() } else { memory };
        refused(&server, &large).await;
    }
    let grown = server.peak_memory_bytes().saturating_sub(memory);
    assert!(grown < 32 << 20, "{grown} bytes more for 40 MB that were refused");
    // What needs no room goes on, so the node stays ready for it.
    server.api.get("/readyz").await.expect(200);
    server.api.get("events/before").await.expect(200);
    server.api.get("events/e").await.expect(404);
    let change = server.api.put("event-types/a.b", &json!({"description": "d"})).await;
    assert_eq!(change.problem(), (503, "unavailable".to_owned()));
    assert_eq!(receiver.requests().len(), 1, "nothing is sent that is not durable");

    disk.mend();
    let before = server.api.delivery_in("delivered", "event_id=before").await;
    assert_eq!(before.attempts, 1, "its record was kept until there was room for it");
    server.api.send(&large).await;
    server.api.delivery_in("delivered", "event_id=e").await;
    server.kill();
    server.start_again().await;
    for id in ["before", "e"] {
        server.api.get(&format!("events/{id}")).await.expect(200);
    }
    assert_eq!(receiver.requests().len(), 2, "nothing was sent twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_that_are_due_wait_for_a_full_disk() {
    let Some(disk) = Disk::new() else { return };
    let server = start(&disk).await;
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(500));
    server.api.create_webhook(&persistent_webhook(&receiver)).await;
    server.api.send(&event("e")).await;
    receiver.wait(2).await;
    disk.fill();
    // Refused: so the disk is full, and what is recorded from now on is not.
    refused(&server, &event("refused")).await;
    let attempts = receiver.requests().len();
    receiver.reply(Reply::ok());
    disk.mend();
    let delivery = server.api.delivery_in("delivered", "event_id=e").await;
    let sent = receiver.requests().len();
    assert!((attempts..=attempts + 2).contains(&sent), "{sent} after {attempts}");
    assert_eq!(
        delivery.attempts, sent as u64,
        "each attempt is recorded, and none was made unrecorded"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_synced_is_refused_and_what_was_stays() {
    let Some(disk) = Disk::new() else { return };
    let mut server = start(&disk).await;
    let receiver = Receiver::start().await;
    server.api.create_webhook(&webhook(&receiver)).await;
    server.api.send(&event("before")).await;
    server.api.delivery_in("delivered", "event_id=before").await;
    for round in 0..3 {
        disk.fail_syncs();
        for _ in 0..3 {
            refused(&server, &event(&format!("refused-{round}"))).await;
        }
        // It was refused, and nothing says that it is there.
        server.api.get(&format!("events/refused-{round}")).await.expect(404);
        disk.mend();
        server.api.send(&event(&format!("after-{round}"))).await;
    }
    receiver.wait(4).await;
    server.kill();
    server.start_again().await;
    for id in ["before", "after-0", "after-1", "after-2"] {
        server.api.get(&format!("events/{id}")).await.expect(200);
        server.api.delivery_in("delivered", &format!("event_id={id}")).await;
    }
    for round in 0..3 {
        server.api.get(&format!("events/refused-{round}")).await.expect(404);
    }
    assert!(receiver.requests().iter().all(|request| !request.text().contains("refused")));
}

/// What was written and could not be synced may be there after all, and then it arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_while_syncs_fail_has_all_that_it_accepted() {
    let Some(disk) = Disk::new() else { return };
    let mut server = start(&disk).await;
    let receiver = Receiver::start().await;
    server.api.create_webhook(&webhook(&receiver)).await;
    for n in 0..5 {
        server.api.send(&event(&format!("before-{n}"))).await;
    }
    disk.fail_syncs();
    refused(&server, &event("refused")).await;
    server.kill();
    disk.mend();
    server.start_again().await;
    for n in 0..5 {
        server.api.delivery_in("delivered", &format!("event_id=before-{n}")).await;
    }
    let again = server.api.post("events", &event("refused")).await.expect(202);
    assert!(again.json()["duplicate"].is_boolean());
    server.api.delivery_in("delivered", "event_id=refused").await;
    let ids = receiver
        .requests()
        .iter()
        .map(|r| r.header("webhook-id").unwrap().to_owned())
        .collect::<Vec<_>>();
    assert_eq!(ids.iter().filter(|id| *id == "refused").count(), 1, "{ids:?}");
}
