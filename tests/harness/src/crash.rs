//! Crash test: servers under load are killed repeatedly, at random moments and at every named fault
//! point. It checks that every event answered with 202 arrives, that duplicates carry the same id
//! and bytes, and that ordering holds where it is configured.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use antar::fault::Point;
use serde_json::json;

use crate::client::Call;
use crate::dice::Dice;
use crate::{BinaryServer, Database, Receiver, Reply, Request, eventually};

/// Accepted events that have not arrived at the ordered webhook; above this, publishers wait.
const OPEN_MAX: usize = 100;
/// Each publisher posts its events sequentially, with an ordering key of its own.
const PUBLISHERS: usize = 4;
/// How long a node has to reach its fault before it is killed.
const FAULT_WAIT_MAX: Duration = Duration::from_secs(4);
/// Longest wait before a random kill.
const KILL_WAIT_MS_MAX: u64 = 900;
/// Number of rounds after which everything accepted must have arrived.
const LOOK_EVERY: usize = 5;
/// One in this many requests is answered with 500.
const FAILS_EVERY: usize = 9;
/// Events for the webhook that is replayed to.
const REPLAYED: usize = 12;

/// Parameters of a run.
pub struct Plan {
    pub rounds: usize,
    pub seed: u64,
    /// One on SQLite.
    pub nodes: usize,
    /// Fault points, taken in turn in every other round; the other rounds kill at random.
    pub points: Vec<Point>,
    /// Called with a line about every round.
    pub say: fn(&str),
}

/// Results of a run.
#[derive(Debug, Default)]
pub struct Figures {
    pub accepted: usize,
    pub received: usize,
    /// Of those received, the ones that had arrived before.
    pub duplicates: usize,
    /// Names of the points at which a node ended by itself.
    pub reached: HashSet<&'static str>,
}

/// Runs the rounds; panics at the first violated guarantee.
pub async fn run(database: Database, plan: &Plan) -> Figures {
    let receiver = Receiver::start().await.ignore_rest();
    let count = AtomicUsize::new(0);
    receiver.reply_with(move |_, _| {
        let fails = count.fetch_add(1, Ordering::Relaxed).is_multiple_of(FAILS_EVERY);
        Reply::status(if fails { 500 } else { 200 })
    });
    let first = BinaryServer::start_with(database, &[("ANTAR_STORE_LEASE_MS", "1500")]).await;
    let replay_path = set_up(&first, &receiver).await;
    let mut nodes = vec![first];
    while nodes.len() < plan.nodes {
        nodes.push(nodes[0].start_beside().await);
    }
    let load = Load::start(&nodes, plan.seed);
    let (mut dice, mut figures) = (Dice::new(plan.seed), Figures::default());
    let mut seen = Seen { arrived: load.arrived.clone(), ..Seen::default() };
    for round in 0..plan.rounds {
        let number = dice.index(nodes.len());
        let point = (round % 2 == 1 && !plan.points.is_empty())
            .then(|| plan.points[round / 2 % plan.points.len()]);
        let fault = point.map(|point| fault(point, &mut dice));
        let how = fault.clone().unwrap_or_else(|| "kill -9".to_owned());
        let node = &mut nodes[number];
        let alone = match &fault {
            None => {
                tokio::time::sleep(Duration::from_millis(dice.below_ms(KILL_WAIT_MS_MAX))).await;
                false
            }
            Some(fault) => fails(node, fault, &replay_path, &receiver, &mut seen).await,
        };
        node.kill();
        if let Some(point) = point.filter(|_| alone) {
            figures.reached.insert(point.as_str());
        }
        nodes[number].start_again().await;
        seen.add(receiver.take());
        if round % LOOK_EVERY == LOOK_EVERY - 1 {
            arrived(&load.accepted(), &receiver, &mut seen).await;
        }
        let ended = if alone || point.is_none() { "" } else { ", which it did not reach" };
        let accepted = load.accepted().len();
        (plan.say)(&format!(
            "round {}/{}: node {number}, {how}{ended}; {accepted} accepted, {} received",
            round + 1,
            plan.rounds,
            seen.received
        ));
    }
    load.stop().await;
    let accepted = load.accepted();
    arrived(&accepted, &receiver, &mut seen).await;
    seen.check_order();
    figures.accepted = accepted.len();
    (figures.received, figures.duplicates) = (seen.received, seen.duplicates);
    figures
}

/// Creates two webhooks for the load, one of them ordered, and one with old events to replay.
/// Returns the path for starting a replay.
async fn set_up(server: &BinaryServer, receiver: &Receiver) -> String {
    let retry = json!({"schedule_s": [0], "attempts_max": 1000, "jitter": 0});
    let plain = json!({"name": "plain", "url": receiver.url("/plain"), "event_types": ["load.*"], "retry": retry});
    server.api.create_webhook(&plain).await;
    let ordered = json!({"name": "ordered", "url": receiver.url("/ordered"), "event_types": ["load.*"],
        "ordering": {"key": "{{data.key}}", "gives_way_attempts": 1000}, "retry": retry});
    server.api.create_webhook(&ordered).await;
    let replayed = json!({"name": "replayed", "url": receiver.url("/replayed"), "event_types": ["old.*"], "retry": retry});
    let replayed = server.api.create_webhook(&replayed).await;
    let events: Vec<_> = (0..REPLAYED)
        .map(|n| json!({"type": "old.a", "id": format!("old-{n}"), "data": {"id": format!("old-{n}"), "key": "old", "n": n}}))
        .collect();
    server.api.post("events", &json!(events)).await.expect(202);
    format!("webhooks/{}/replay", replayed.id)
}

/// `POINT=exit@N`, with an N that a round reaches.
fn fault(point: Point, dice: &mut Dice) -> String {
    let passages = match point {
        Point::TakeOver | Point::LeaseRenew | Point::ReplayStep => 2,
        Point::Claim | Point::ClaimAfter => 4,
        _ => 30,
    };
    let nth = if point == Point::ReplayStep { 1 } else { 1 + dice.index(passages) };
    format!("{}=exit@{nth}", point.as_str())
}

/// Starts a node that ends at a fault point. Returns whether it did.
async fn fails(
    node: &mut BinaryServer,
    fault: &str,
    replay_path: &str,
    receiver: &Receiver,
    seen: &mut Seen,
) -> bool {
    node.kill();
    if !node.start_failing(fault).await {
        return true;
    }
    if fault.starts_with(Point::ReplayStep.as_str()) {
        // The node ends in the middle of this replay.
        let ids: Vec<_> = (0..REPLAYED).map(|n| format!("old-{n}")).collect();
        let body = json!({"event_ids": ids});
        let _ = node.api.call("POST", replay_path).json(&body).try_send().await;
    }
    let ended = async {
        while !node.has_ended() {
            seen.add(receiver.take());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(FAULT_WAIT_MAX, ended).await.is_ok()
}

/// Waits until everything accepted has arrived at both webhooks, as long as there is progress.
async fn arrived(accepted: &HashSet<String>, receiver: &Receiver, seen: &mut Seen) {
    for path in ["/plain", "/ordered"] {
        let mut missing = seen.missing(path, accepted);
        while !missing.is_empty() {
            let what = format!("more of {} that are missing at {path}: {missing:?}", missing.len());
            missing = eventually(&what, async || {
                seen.add(receiver.take());
                let still = seen.missing(path, accepted);
                (still.len() < missing.len()).then_some(still)
            })
            .await;
        }
    }
}

/// The publishers, and the events that were accepted.
struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<Mutex<HashSet<String>>>,
    arrived: Arc<AtomicUsize>,
    publishers: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl Load {
    fn start(nodes: &[BinaryServer], seed: u64) -> Load {
        let (stop, accepted, arrived) =
            (Arc::<AtomicBool>::default(), Arc::default(), Arc::default());
        let publishers = (0..PUBLISHERS).map(|number| {
            let publisher = Publisher {
                number,
                places: nodes.iter().map(|node| (node.base.clone(), node.key.clone())).collect(),
                dice: Dice::new(seed ^ (number as u64 + 1)),
                stop: Arc::clone(&stop),
                accepted: Arc::clone(&accepted),
                arrived: Arc::clone(&arrived),
            };
            tokio::spawn(publisher.run())
        });
        let publishers = Mutex::new(publishers.collect());
        Load { stop, accepted, arrived, publishers }
    }

    fn accepted(&self) -> HashSet<String> {
        self.accepted.lock().unwrap().clone()
    }

    async fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let publishers = std::mem::take(&mut *self.publishers.lock().unwrap());
        for publisher in publishers {
            publisher.await.unwrap();
        }
    }
}

struct Publisher {
    number: usize,
    places: Vec<(String, String)>,
    dice: Dice,
    stop: Arc<AtomicBool>,
    accepted: Arc<Mutex<HashSet<String>>>,
    arrived: Arc<AtomicUsize>,
}

impl Publisher {
    /// Posts each event until any node accepts it, and only then the next; waits while too many
    /// events have not arrived in order.
    async fn run(mut self) {
        const PAUSE: Duration = Duration::from_millis(5);
        for n in 0_u64.. {
            while self.open() > OPEN_MAX && !self.stop.load(Ordering::Relaxed) {
                tokio::time::sleep(PAUSE).await;
            }
            let (key, id) = (format!("p{}", self.number), format!("p{}-{n}", self.number));
            let event = json!({"type": "load.a", "id": id, "data": {"id": id, "key": key, "n": n}});
            while !self.posted(&event).await {
                tokio::time::sleep(PAUSE).await;
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
            }
            self.accepted.lock().unwrap().insert(id);
            tokio::time::sleep(PAUSE).await;
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn open(&self) -> usize {
        self.accepted.lock().unwrap().len().saturating_sub(self.arrived.load(Ordering::Relaxed))
    }

    async fn posted(&mut self, event: &serde_json::Value) -> bool {
        let (base, key) = &self.places[self.dice.index(self.places.len())];
        let call = Call::new("POST", &format!("{base}/v1/tenants/default/events"));
        call.key(key).json(event).try_send().await.is_ok_and(|answer| answer.status == 202)
    }
}

/// Received events, by path and id.
#[derive(Default)]
struct Seen {
    /// Events that have arrived at the ordered webhook.
    arrived: Arc<AtomicUsize>,
    bodies: HashMap<(String, String), Vec<u8>>,
    /// Numbers in order of arrival at the ordered webhook, by key.
    ordered: HashMap<String, Vec<u64>>,
    received: usize,
    duplicates: usize,
}

impl Seen {
    fn add(&mut self, requests: Vec<Request>) {
        for request in requests {
            self.received += 1;
            let id = request.header("webhook-id").expect("each request has its id").to_owned();
            let data = &request.json()["data"];
            assert_eq!(data["id"], id.as_str(), "the id is that of the event");
            if request.path() == "/ordered" {
                let (key, n) = (data["key"].as_str().unwrap(), data["n"].as_u64().unwrap());
                self.ordered.entry(key.to_owned()).or_default().push(n);
            }
            let place = (request.path().to_owned(), id);
            match self.bodies.get(&place) {
                None => {
                    self.arrived.fetch_add(usize::from(place.0 == "/ordered"), Ordering::Relaxed);
                    self.bodies.insert(place, request.body);
                }
                Some(before) => {
                    self.duplicates += 1;
                    assert_eq!(*before, request.body, "{place:?} came again with other bytes");
                }
            }
        }
    }

    fn missing(&self, path: &str, accepted: &HashSet<String>) -> Vec<String> {
        let mut missing = accepted.clone();
        missing.retain(|id| !self.bodies.contains_key(&(path.to_owned(), id.clone())));
        missing.into_iter().collect()
    }

    /// A duplicate may repeat the last number of its key; no event may arrive before its turn.
    fn check_order(&self) {
        for (key, numbers) in &self.ordered {
            let wrong = numbers.windows(2).find(|pair| pair[0] > pair[1]);
            assert!(wrong.is_none(), "{key}: {wrong:?} of {numbers:?}");
        }
    }
}
