//! PostgreSQL that is gone for a while: its connections break, and there are no new ones; or nothing
//! breaks, and nothing is answered.

use std::time::{Duration, Instant};

use antar_harness::{BinaryServer, Database, Proxy, Receiver, Reply, eventually};

use super::{event, refused, webhook};

/// A third of the time that this takes with the default of 15 seconds.
const LEASE_MS: &str = "1200";

/// A server whose database can be cut off; none where PostgreSQL is left out.
async fn start() -> Option<(BinaryServer, Proxy)> {
    let (database, proxy) = Database::postgres().await?.behind_proxy().await;
    // It is silent for no longer than this.
    let settings = [("ANTAR_STORE_LEASE_MS", LEASE_MS), ("ANTAR_STORE_ANSWER_TIMEOUT_MS", "3000")];
    Some((BinaryServer::start_with(database, &settings).await, proxy))
}

/// As many reads at once as there are connections for them.
async fn statuses_of_reads(server: &BinaryServer) -> Vec<u16> {
    let reads = (0..8).map(|_| server.api.get("deliveries?limit=1"));
    futures_util::future::join_all(reads).await.iter().map(|answer| answer.status).collect()
}

/// The database is back: what was refused is accepted, and everything arrives and is recorded, once.
async fn goes_on(server: &BinaryServer, receiver: &Receiver) {
    server.api.send(&event("refused")).await;
    server.api.send(&event("after")).await;
    for id in ["before", "refused", "after"] {
        let delivery = server.api.delivery_in("delivered", &format!("event_id={id}")).await;
        assert_eq!(delivery.attempts, 1, "{id} was recorded when that was possible again");
    }
    assert_eq!(receiver.requests().len(), 3, "nothing was sent twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_for_longer_than_the_lease_costs_nothing() {
    let Some((server, proxy)) = start().await else { return };
    let receiver = Receiver::start().await;
    receiver.reply(Reply::ok().after(Duration::from_millis(300)));
    server.api.create_webhook(&webhook(&receiver)).await;
    assert_eq!(statuses_of_reads(&server).await, [200; 8]);
    server.api.send(&event("before")).await;
    receiver.wait(1).await;
    // Before the answer to the attempt can be recorded.
    proxy.cut();
    const GONE: Duration = Duration::from_secs(2);
    let (gone_at, memory) = (Instant::now(), server.peak_memory_bytes());
    let large = serde_json::json!({"type": "a.b", "data": {"text": "x".repeat(100_000)}});
    while gone_at.elapsed() < GONE {
        refused(&server, &event("refused")).await;
        refused(&server, &large).await;
    }
    let ready = server.api.get("/readyz").await;
    assert_eq!(ready.problem(), (503, "unavailable".to_owned()));
    let grown = server.peak_memory_bytes().saturating_sub(memory);
    assert!(grown < 64 << 20, "{grown} bytes more for what was refused");

    proxy.mend();
    // At once: connections that broke while nobody used them are in nobody's way.
    assert_eq!(statuses_of_reads(&server).await, [200; 8]);
    goes_on(&server, &receiver).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_broke_while_nobody_used_them_are_not_noticed() {
    let Some((server, proxy)) = start().await else { return };
    let receiver = Receiver::start().await;
    server.api.create_webhook(&webhook(&receiver)).await;
    for round in 0..3 {
        assert_eq!(statuses_of_reads(&server).await, [200; 8]);
        proxy.cut();
        eventually("the server knows that it is cut off", async || {
            (server.api.get("/readyz").await.status == 503).then_some(())
        })
        .await;
        proxy.mend();
        assert_eq!(statuses_of_reads(&server).await, [200; 8]);
        server.api.send(&event(&format!("e-{round}"))).await;
    }
    receiver.wait(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_silent_keeps_nobody_waiting() {
    let Some((server, proxy)) = start().await else { return };
    let receiver = Receiver::start().await;
    receiver.reply(Reply::ok().after(Duration::from_millis(300)));
    server.api.create_webhook(&webhook(&receiver)).await;
    server.api.send(&event("before")).await;
    receiver.wait(1).await;
    // Before the answer to the attempt can be recorded.
    proxy.hold();
    for _ in 0..3 {
        refused(&server, &event("refused")).await;
    }
    let ready = server.api.get("/readyz").await;
    assert_eq!(ready.problem(), (503, "unavailable".to_owned()));

    proxy.mend();
    goes_on(&server, &receiver).await;
}
