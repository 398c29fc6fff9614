//! Simulation of several nodes: the real server except for its HTTP, on a simulated clock, network
//! and database latency. Everything runs on one thread, in steps; faults and their times are drawn
//! from a seed, so that a run can be repeated.
//!
//! Each node has a runtime of its own with a paused clock, and the nodes are driven in turns. A
//! crash drops a node's runtime; during a stall, a node is not driven while time passes. The nodes
//! share one SQLite file through the server's own statements; a database outage is a write lock
//! held by another connection. Guarantees are checked where requests arrive, see
//! `simulation/ledger.rs`.

mod ledger;
mod node;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diesel_async::{AsyncConnection as _, SimpleAsyncConnection as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::ledger::Ledger;
use self::node::SimulatedNode;
use crate::dice::Dice;

/// Simulated time of one step of all nodes.
const STEP_MS: i64 = 5;
const NODES: usize = 3;
/// The database file shared by all nodes.
const DATABASE: &str = "antar.db";
/// Longest time that a node is down, stalled, or without its database: longer than its lease.
const AWAY_MS_MAX: u64 = 25_000;
/// One in this many steps brings a crash, a stall, a database outage.
const CRASH_EVERY: u64 = 4_000;
const STALL_EVERY: u64 = 6_000;
const GONE_EVERY: u64 = 20_000;
/// One in this many steps posts an event.
const POST_EVERY: u64 = 12;
const TELL_EVERY: u64 = 50_000;
/// Time limit for everything to arrive after the last fault.
const QUIET_MS_MAX: i64 = 7_200_000;

/// Parameters of a run.
pub struct Plan {
    pub seed: u64,
    /// Each step drives every node once.
    pub steps: u64,
    /// Called with a line about the progress from time to time.
    pub say: fn(&str),
}

/// Results of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    pub steps: u64,
    pub simulated_s: i64,
    pub accepted: usize,
    /// Posts not accepted as far as the sender knows; they are repeated.
    pub refused: usize,
    pub attempts: usize,
    /// Attempts after the first one of a delivery.
    pub again: usize,
    pub crashes: usize,
    pub stalls: usize,
    pub gone: usize,
}

/// Runs the simulation; panics at the first violated guarantee.
#[must_use]
pub fn run(plan: &Plan) -> Figures {
    let mut world = World::new(plan);
    for step in 0..plan.steps {
        world.misfortune();
        world.post();
        world.step();
        if step % TELL_EVERY == TELL_EVERY - 1 {
            (plan.say)(&world.told());
        }
    }
    world.quiet();
    (plan.say)(&world.told());
    world.counts()
}

struct World {
    dice: Dice,
    now_ms: i64,
    steps: u64,
    nodes: Vec<SimulatedNode>,
    ledger: Arc<Mutex<Ledger>>,
    lock: DatabaseLock,
    crashes: usize,
    stalls: usize,
    gone: usize,
    _folder: TempDir,
}

impl World {
    fn new(plan: &Plan) -> World {
        const START_MS: i64 = 1_780_000_000_000;
        let folder = tempfile::tempdir().unwrap();
        let mut dice = Dice::new(plan.seed);
        let ledger = Arc::new(Mutex::new(Ledger::new(dice.fork(), START_MS)));
        let nodes = (0..NODES).map(|number| {
            SimulatedNode::new(number, folder.path(), dice.fork(), Arc::clone(&ledger))
        });
        let mut nodes: Vec<_> = nodes.collect();
        nodes[0].start(START_MS);
        nodes[0].configure(&webhooks());
        for node in &mut nodes[1..] {
            node.start(START_MS);
        }
        let lock = DatabaseLock::new(&folder.path().join(DATABASE));
        World {
            dice,
            now_ms: START_MS,
            steps: 0,
            nodes,
            ledger,
            lock,
            crashes: 0,
            stalls: 0,
            gone: 0,
            _folder: folder,
        }
    }

    /// Injects faults at random.
    fn misfortune(&mut self) {
        let until = self.now_ms + i64::try_from(self.dice.below_ms(AWAY_MS_MAX)).unwrap();
        let number = self.dice.index(NODES);
        if self.dice.one_in(CRASH_EVERY) && self.nodes[number].is_up() {
            self.crashes += 1;
            lock(&self.ledger).crashed(number);
            self.nodes[number].crash(until);
        }
        if self.dice.one_in(STALL_EVERY) && self.nodes[number].is_up() {
            self.stalls += 1;
            lock(&self.ledger).stalls(number, until);
            self.nodes[number].stall(until);
        }
        if self.dice.one_in(GONE_EVERY) && !self.lock.is_held() {
            self.gone += 1;
            // No node can renew a lease meanwhile.
            (0..NODES).for_each(|number| lock(&self.ledger).is_late(number, until));
            self.lock.hold(until);
        }
    }

    fn post(&mut self) {
        if !self.dice.one_in(POST_EVERY) {
            return;
        }
        let number = self.dice.index(NODES);
        if self.nodes[number].is_up() {
            self.nodes[number].post();
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        self.now_ms += STEP_MS;
        lock(&self.ledger).now_ms = self.now_ms;
        self.lock.release_at(self.now_ms);
        for node in &mut self.nodes {
            node.step(self.now_ms);
        }
        let broken = lock(&self.ledger).broken.take();
        assert!(broken.is_none(), "step {}: {}", self.steps, broken.unwrap_or_default());
    }

    /// Runs without faults until everything has arrived, and checks that no delivery is left open.
    fn quiet(&mut self) {
        lock(&self.ledger).receivers_are_well();
        let end = self.now_ms + QUIET_MS_MAX;
        while !lock(&self.ledger).has_all_arrived() || !self.nodes.iter().all(SimulatedNode::is_up)
        {
            assert!(self.now_ms < end, "not all arrived: {}", lock(&self.ledger).missing());
            self.step();
        }
        // Time for the last results to be recorded.
        for _ in 0..2_000 {
            self.step();
        }
        let open = self.nodes[0].open_deliveries();
        assert!(open.is_empty(), "still open after everything arrived: {open:?}");
    }

    fn told(&self) -> String {
        let counts = self.counts();
        format!(
            "{} steps, {} s of simulated time: {} accepted ({} posts refused), {} attempts ({} again), {} crashes, {} stalls, \
             {} times no database",
            counts.steps,
            counts.simulated_s,
            counts.accepted,
            counts.refused,
            counts.attempts,
            counts.again,
            counts.crashes,
            counts.stalls,
            counts.gone
        )
    }

    fn counts(&self) -> Figures {
        let ledger = lock(&self.ledger);
        Figures {
            steps: self.steps,
            simulated_s: i64::try_from(self.steps).unwrap() * STEP_MS / 1_000,
            accepted: ledger.accepted(),
            refused: ledger.refused,
            attempts: ledger.attempts,
            again: ledger.again,
            crashes: self.crashes,
            stalls: self.stalls,
            gone: self.gone,
        }
    }
}

/// The simulated webhooks; [`Ledger`] checks the guarantees of each.
fn webhooks() -> Vec<Value> {
    let webhook = |name: &str, more: Value| {
        let retry = json!({"schedule_s": [1, 5, 20], "attempts_max": 1_000, "jitter": 0});
        let mut webhook = json!({"name": name, "url": format!("http://127.0.0.1/{name}"), "event_types": ["*"],
            "timeout_ms": 5_000, "retry": retry});
        webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        webhook
    };
    vec![
        webhook("plain", json!({})),
        webhook(
            "ordered",
            json!({"ordering": {"key": "{{data.key}}", "gives_way_attempts": 1_000}}),
        ),
        webhook("paced", json!({"limits": {"rate_per_s": ledger::RATE_PER_S}})),
        webhook("narrow", json!({"limits": {"in_flight_max": ledger::NARROW_MAX}})),
        webhook("hanging", json!({"timeout_ms": 30_000})),
    ]
}

/// Blocks all other writers of the database.
struct DatabaseLock {
    runtime: tokio::runtime::Runtime,
    conn: diesel_async::sync_connection_wrapper::SyncConnectionWrapper<diesel::SqliteConnection>,
    held_until_ms: Option<i64>,
}

impl DatabaseLock {
    fn new(path: &std::path::Path) -> DatabaseLock {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let path = path.to_string_lossy().into_owned();
        let conn = runtime
            .block_on(diesel_async::sync_connection_wrapper::SyncConnectionWrapper::establish(
                &path,
            ))
            .unwrap();
        DatabaseLock { runtime, conn, held_until_ms: None }
    }

    fn is_held(&self) -> bool {
        self.held_until_ms.is_some()
    }

    fn hold(&mut self, until_ms: i64) {
        self.runtime.block_on(self.conn.batch_execute("BEGIN IMMEDIATE")).unwrap();
        self.held_until_ms = Some(until_ms);
    }

    fn release_at(&mut self, now_ms: i64) {
        if self.held_until_ms.is_some_and(|until| until <= now_ms) {
            self.runtime.block_on(self.conn.batch_execute("ROLLBACK")).unwrap();
            self.held_until_ms = None;
        }
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
