//! How hard a receiver is hit, and that its neighbours don't notice.

use std::time::Duration;

use antar_harness::{Database, Receiver, Reply, TestServer, eventually, on_both_databases};
use serde_json::json;

on_both_databases! {
    async fn webhooks_that_share_a_rate_keep_it_together(database: Database) {
        let server = database.server().manual_clock().start().await;
        let receiver = Receiver::start().await;
        for name in ["one", "two"] {
            server
                .api
                .create_webhook(&json!({
                    "name": name, "url": receiver.url("/crm"), "event_types": ["*"],
                    "limits": {"rate_per_s": 1, "share": "crm"},
                }))
                .await;
        }
        let event = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        let delivered = async |count: usize| {
            let query = format!("event_id={event}&state=delivered");
            eventually("delivered", async || {
                (server.api.deliveries(&query).await.len() == count).then_some(())
            })
            .await;
        };
        delivered(1).await;
        let in_flight = server.api.deliveries(&format!("event_id={event}&state=in_flight")).await;
        assert_eq!(in_flight.len(), 1, "the second one waits for its turn");
        assert_eq!(receiver.requests().len(), 1);
        server.advance(Duration::from_secs(1));
        delivered(2).await;
        receiver.wait(2).await;
    }

    async fn a_paused_webhook_keeps_what_comes_until_it_goes_on(server: TestServer) {
        let receiver = Receiver::start().await;
        let webhook = server
            .api
            .create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]}))
            .await;
        server.api.post(&format!("webhooks/{}/pause", webhook.id), &json!({})).await.expect(200);
        let event = server.api.send(&json!({"type": "a.b", "data": {}})).await;
        let held = server.api.delivery_in("pending", &format!("event_id={event}")).await;
        assert_eq!(held.reason.as_deref(), Some("webhook_paused"));
        server.api.post(&format!("webhooks/{}/resume", webhook.id), &json!({})).await.expect(200);
        receiver.wait(1).await;
        let delivered = server.api.delivery_in("delivered", &format!("event_id={event}")).await;
        assert_eq!((delivered.id, delivered.attempts), (held.id, 1));
    }

    async fn a_receiver_that_hangs_holds_nobody_else(database: Database) {
        let quick_stop = |config: &mut antar::config::Config| config.server.drain_ms = 100;
        let server = database.server().config(quick_stop).ignore_unseen_deliveries().start().await;
        let (hanging, quick) = (Receiver::start().await.ignore_rest(), Receiver::start().await);
        hanging.reply(Reply::hang());
        for (name, url) in [("hanging", hanging.url("/h")), ("quick", quick.url("/q"))] {
            server
                .api
                .create_webhook(&json!({
                    "name": name, "url": url, "event_types": ["*"], "timeout_ms": 60_000,
                    "limits": {"in_flight_max": 2},
                }))
                .await;
        }
        let events: Vec<_> = (0..20).map(|n| json!({"type": "a.b", "data": {"n": n}})).collect();
        server.api.post("events", &json!(events)).await.expect(202);
        assert_eq!(quick.wait(20).await.len(), 20);
        // No more than it may have at once, however long they take.
        assert_eq!(hanging.wait(2).await.len(), 2);
    }

    async fn hundreds_of_receivers_that_hang_hold_nobody_else(database: Database) {
        const HANGING: usize = 500;
        let few_places = |config: &mut antar::config::Config| {
            config.server.drain_ms = 100;
            config.delivery.in_flight_max = 32;
            config.delivery.slow_after_ms = 100;
            config.delivery.slow_in_flight_max = 625;
        };
        let server =
            database.server().config(few_places).ignore_unseen_deliveries().start().await;
        let (hanging, quick) = (Receiver::start().await.ignore_rest(), Receiver::start().await);
        hanging.reply(Reply::hang());
        let make = async |name: String, url: String| {
            let webhook = json!({"name": name, "url": url, "event_types": ["*"], "timeout_ms": 60_000});
            server.api.create_webhook(&webhook).await;
        };
        for first in (0..HANGING).step_by(50) {
            let some =
                (first..first + 50).map(|n| make(format!("h{n}"), hanging.url(&format!("/{n}"))));
            futures_util::future::join_all(some).await;
        }
        make("quick".to_owned(), quick.url("/q")).await;
        // Far more hang than there are places; those that hang are still at it when the last comes.
        for count in 1..=4 {
            server.api.send(&json!({"type": "a.b", "data": {"n": count}})).await;
            assert_eq!(quick.wait(count).await.len(), count);
        }
        hanging.wait(HANGING).await;
        let failed = server.api.get("deliveries?state=failed&limit=1").await.json();
        assert_eq!(failed["data"], json!([]), "none of them has ended");
    }
}
