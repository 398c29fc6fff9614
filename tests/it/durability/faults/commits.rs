//! Transactions that fail, or of which nobody learns whether they did.

use antar_harness::{BinaryServer, Database, Receiver, Reply, on_both_databases};

use super::{event, persistent_webhook, refused, webhook};

on_both_databases! {
    async fn a_commit_that_fails_refuses_and_recovers(database: Database) {
        let receiver = Receiver::start().await;
        let mut server = BinaryServer::start(database).await;
        server.api.create_webhook(&webhook(&receiver)).await;
        server.kill();
        assert!(server.start_failing("accept.commit.before=error@1..3,record.commit.before=error@1..3").await);
        for _ in 0..3 {
            refused(&server, &event("e")).await;
        }
        assert!(receiver.requests().is_empty(), "nothing is sent that is not durable");
        server.api.send(&event("e")).await;
        let delivery = server.api.delivery_in("delivered", "event_id=e").await;
        assert_eq!(delivery.attempts, 1, "the record was tried until it was durable");
        assert_eq!(receiver.requests().len(), 1);
    }

    async fn due_deliveries_that_were_taken_unknowingly_are_taken_again(database: Database) {
        let receiver = Receiver::start().await;
        receiver.reply_with(|_, nth| Reply::status(if nth == 1 { 500 } else { 200 }));
        let mut server = BinaryServer::start(database).await;
        server.api.create_webhook(&persistent_webhook(&receiver)).await;
        server.kill();
        // As when the connection breaks after the commit and before its answer.
        assert!(server.start_failing("claim.after=error@1").await);
        server.api.send(&event("e")).await;
        let delivery = server.api.delivery_in("delivered", "event_id=e").await;
        assert_eq!(delivery.attempts, 2);
        assert_eq!(receiver.requests().len(), 2);
    }
}
