//! What deliveries take of memory: their number there is bounded by the size of their data and requests.

use antar_harness::{Database, Receiver, Reply, eventually, on_both_databases};
use serde_json::{Value, json};

const MANY: usize = 30;

/// Waits until all deliveries of the tenant have arrived, and returns the largest number of them that one look
/// found in memory.
async fn most_in_memory(server: &antar_harness::TestServer) -> i64 {
    let mut most = 0;
    eventually("all are delivered", async || {
        let in_flight = "SELECT count(*) AS number FROM deliveries WHERE state = 'in_flight'";
        most = most.max(server.number_in_database(in_flight).await);
        let rest = "SELECT count(*) AS number FROM deliveries WHERE state <> 'delivered'";
        (server.number_in_database(rest).await == 0).then_some(())
    })
    .await;
    most
}

on_both_databases! {
    async fn few_deliveries_with_much_data_wait_in_memory(database: Database) {
        let server = database
            .server()
            .config(|config| {
                config.delivery.queue_max = 100;
                config.delivery.queue_bytes_max = 1_000_000;
                config.delivery.poll_ms = 20;
            })
            .start()
            .await;
        let receiver = Receiver::start().await;
        receiver.reply(Reply::ok().after(std::time::Duration::from_millis(30)));
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"],
                             "limits": {"in_flight_max": 100}});
        server.api.create_webhook(&webhook).await;
        for _ in 0..MANY {
            let event = json!({"type": "a.b", "data": {"x": "x".repeat(200_000)}});
            server.api.post("events", &event).await.expect(202);
        }
        // A lane stops at half of what is left of 100 places, and each takes 21.
        let most = most_in_memory(&server).await;
        assert!((1..=5).contains(&most), "{most} of 200 KB were in memory that has 1 MB");
        let received = receiver.wait(MANY).await;
        assert_eq!(received.len(), MANY, "each came once");
    }

    async fn large_requests_of_small_events_leave_room_for_other_tenants(database: Database) {
        let server = database
            .server()
            .config(|config| config.delivery.request_bytes_max = 1_000_000)
            .start()
            .await;
        let receiver = Receiver::start().await;
        receiver.reply_with(|request, _| match request.path() {
            "/large" => Reply::hang(),
            _ => Reply::ok(),
        });
        let other = server.create_tenant("other").await;
        let of = |path: &str, body: &str| {
            json!({"name": "w", "url": receiver.url(path), "event_types": ["*"], "timeout_ms": 1_000,
                   "body": body, "headers": {"content-type": "text/plain"},
                   "limits": {"in_flight_max": 100},
                   "retry": {"schedule_s": [1], "attempts_max": 100, "jitter": 0}})
        };
        let large = "{{#each data.list}}".to_owned() + &"x".repeat(10_000) + "{{/each}}";
        server.api.create_webhook(&of("/large", &large)).await;
        other.create_webhook(&of("/other", &large)).await;
        let event = json!({"type": "a.b", "data": {"list": vec![0; 20]}});
        for _ in 0..MANY {
            server.api.post("events", &event).await.expect(202);
        }
        eventually("some wait for memory", async || {
            let waiting = server.api.deliveries("state=pending").await;
            waiting.iter().any(|d| d.reason.as_deref() == Some("server_busy")).then_some(())
        })
        .await;
        // Two take 400 KB; a third would leave less than the tenant has.
        assert!(receiver.at("/large").len() <= 4, "two at once, and perhaps their second attempts");
        other.post("events", &event).await.expect(202);
        let came: Vec<Value> = vec![json!(receiver.wait_at("/other", 1).await[0].text().len())];
        assert_eq!(came, [200_000]);
        receiver.reply(Reply::ok());
        most_in_memory(&server).await;
        let attempts: u64 = server.api.deliveries("").await.iter().map(|d| d.attempts).sum();
        let requests = receiver.at("/large").len();
        assert_eq!(usize::try_from(attempts).unwrap(), requests, "waiting for memory is no attempt");
    }
}
