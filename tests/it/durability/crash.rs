//! `kill -9` of the real program: what was answered with 202 arrives after the restart.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use antar::fault::Point;
use antar_harness::{
    BinaryServer, Database, Receiver, Reply, crash, eventually, on_both_databases,
};
use serde_json::json;

const ROUNDS: usize = 3;
const PUBLISHERS: usize = 6;
/// Events that are accepted in a round before the kill.
const ACCEPTED_PER_ROUND: usize = 60;

on_both_databases! {
    async fn nothing_accepted_is_lost_under_load(database: Database) {
        // What was sent but not yet recorded at a kill comes again, also after the last look.
        let receiver = Receiver::start().await.ignore_rest();
        let mut server = BinaryServer::start(database).await;
        server
            .api
            .create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]}))
            .await;
        let accepted: Arc<Mutex<HashSet<String>>> = Arc::default();
        for round in 0..ROUNDS {
            let publishers: Vec<_> = (0..PUBLISHERS)
                .map(|publisher| {
                    let (api, accepted) = (server.api.clone(), Arc::clone(&accepted));
                    tokio::spawn(async move {
                        for number in 0.. {
                            let id = format!("r{round}-p{publisher}-{number}");
                            let event = json!({"type": "a.b", "id": id, "data": {"n": id}});
                            // The server goes away in the middle of this.
                            match api.call("POST", "events").json(&event).try_send().await {
                                Ok(answer) if answer.status == 202 => accepted.lock().unwrap().insert(id),
                                _ => return,
                            };
                        }
                    })
                })
                .collect();
            let enough = (round + 1) * ACCEPTED_PER_ROUND;
            eventually("enough events were accepted", async || {
                (accepted.lock().unwrap().len() >= enough).then_some(())
            })
            .await;
            server.kill();
            for publisher in publishers {
                publisher.await.unwrap();
            }
            server.start_again().await;
        }
        let accepted = accepted.lock().unwrap().clone();
        eventually("every accepted event arrives", async || {
            let arrived: HashSet<String> = receiver
                .requests()
                .iter()
                .map(|request| request.json()["data"]["n"].as_str().unwrap().to_owned())
                .collect();
            accepted.is_subset(&arrived).then_some(())
        })
        .await;
    }

    async fn an_attempt_cut_off_by_a_kill_is_made_again_with_the_same_id(database: Database) {
        let receiver = Receiver::start().await;
        receiver.reply_with(|_, nth| if nth == 1 { Reply::hang() } else { Reply::ok() });
        let mut server = BinaryServer::start(database).await;
        server
            .api
            .create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]}))
            .await;
        let event_id = server.api.send(&json!({"type": "a.b", "data": {"n": 1}})).await;
        receiver.wait(1).await;
        server.kill();
        server.start_again().await;
        let requests = receiver.wait(2).await;
        assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
        assert_eq!(requests[0].body, requests[1].body);
        server.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
    }
}

/// The short form of `cargo xtask crash`: a few random kills, and one end at each fault point.
const SEED: u64 = 7;

fn plan(nodes: usize) -> crash::Plan {
    let points = Point::ALL.to_vec();
    crash::Plan {
        rounds: 2 * points.len(),
        seed: SEED,
        nodes,
        points,
        say: |text| println!("{text}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_ends_at_every_fault_point() {
    let figures = crash::run(Database::sqlite(), &plan(1)).await;
    assert!(figures.accepted > ACCEPTED_PER_ROUND && figures.duplicates > 0, "{figures:?}");
    assert!(figures.reached.len() >= Point::ALL.len() - 2, "{figures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_end_at_every_fault_point() {
    let Some(database) = Database::postgres().await else { return };
    let figures = crash::run(database, &plan(3)).await;
    assert!(figures.accepted > ACCEPTED_PER_ROUND && figures.duplicates > 0, "{figures:?}");
    assert!(figures.reached.len() >= Point::ALL.len() - 2, "{figures:?}");
}

on_both_databases! {
    /// The commit was durable, but its caller was told that it failed: the batch is tried again.
    async fn a_commit_of_unknown_outcome_loses_nothing(database: Database) {
        let receiver = Receiver::start().await.ignore_rest();
        let mut server = BinaryServer::start(database).await;
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"]});
        server.api.create_webhook(&webhook).await;
        server.kill();
        assert!(server.start_failing("accept.commit.after=error@1").await);
        let event = json!({"type": "a.b", "id": "e", "data": {}});
        eventually("it is accepted", async || {
            (server.api.post("events", &event).await.status == 202).then_some(())
        })
        .await;
        receiver.wait(1).await;
    }
}
