//! A simulated node: a server, and a runtime that determines its time.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use antar::app::Posted;
use antar::clock::{Clock, ManualClock};
use antar::config::Config;
use antar::model::{Fields, Millis, Response, State};
use antar::pipeline::Answer;
use antar::pipeline::accept::intake;
use antar::pipeline::client::send::{Network, Outgoing, SendError, Sent};
use antar::plugin::CompileIn;
use antar::server::{Node, World};
use antar::store::{DeliveryFilter, Pace};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::ledger::{Became, Ledger, Reply, Request, What, Who};
use super::{DATABASE, STEP_MS, lock};
use crate::dice::Dice;

/// Largest difference between a node's clock and the simulation's.
const SKEW_MS_MAX: u64 = 20;
/// Interval between attempts to start without a database.
const START_AGAIN_MS: i64 = 1_000;
const SECRETS: &str = "secrets.key";

pub(super) struct SimulatedNode {
    number: usize,
    config: Config,
    skew_ms: i64,
    dice: Dice,
    ledger: Arc<Mutex<Ledger>>,
    lives: u64,
    state: Condition,
}

enum Condition {
    Up(Box<Life>),
    /// Not driven until this time.
    Stalled(Box<Life>, i64),
    /// Started again at this time.
    Down(i64),
}

/// A node from a start to a crash.
struct Life {
    who: Who,
    clock: ManualClock,
    node: Node,
    /// Dropped last, together with all its tasks.
    runtime: Runtime,
}

impl SimulatedNode {
    pub(super) fn new(
        number: usize,
        folder: &Path,
        mut dice: Dice,
        ledger: Arc<Mutex<Ledger>>,
    ) -> SimulatedNode {
        let mut config = Config::default();
        config.server.dev = true;
        config.server.data_dir = folder.join(format!("node-{number}"));
        config.store.busy_timeout_ms = 0;
        config.plugins.warm_memories_max = 16;
        // Low limits, so that they are reached.
        config.delivery.in_flight_max = 24;
        config.delivery.slow_in_flight_max = 64;
        config.delivery.queue_max = 200;
        config.delivery.queue_per_webhook_max = 40;
        config.delivery.claim_max = 32;
        config.delivery.probe_ms_min = 5_000;
        config.delivery.probe_ms_max = 60_000;
        config.retention.events_s = 0;
        let skew_ms = i64::try_from(dice.below_ms(2 * SKEW_MS_MAX)).unwrap();
        let skew_ms = skew_ms - i64::try_from(SKEW_MS_MAX).unwrap();
        let state = Condition::Down(i64::MAX);
        SimulatedNode { number, config, skew_ms, dice, ledger, lives: 0, state }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, Condition::Up(_))
    }

    fn life(&self) -> &Life {
        match &self.state {
            Condition::Up(life) | Condition::Stalled(life, _) => life,
            Condition::Down(_) => panic!("node {} is down", self.number),
        }
    }

    /// Starts the node; without a database, it tries again later.
    pub(super) fn start(&mut self, now_ms: i64) {
        self.lives += 1;
        let who = Who { node: self.number, life: self.lives };
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let clock = ManualClock::new(Millis(now_ms + self.skew_ms));
        let dice = Mutex::new(self.dice.fork());
        let pace = Pace::new(move || {
            let mut dice = dice.lock().unwrap();
            let slow_ms = if dice.one_in(100) { dice.below_ms(200) } else { 0 };
            Duration::from_millis(dice.below_ms(4) + slow_ms)
        });
        let world = World {
            clock: Clock::Manual(clock.clone()),
            network: Some(network(who, Arc::clone(&self.ledger))),
            pace: Some(pace),
            // Nobody uploads plugins here.
            compile_in: Some(CompileIn::ThisProcess),
        };
        self.make_folder();
        self.state = match runtime.block_on(Node::start(self.config.clone(), world)) {
            Ok(node) => Condition::Up(Box::new(Life { who, clock, node, runtime })),
            Err(error) => {
                assert!(format!("{error:#}").contains("locked"), "no start: {error:#}");
                Condition::Down(now_ms + START_AGAIN_MS)
            }
        };
    }

    /// Creates a data folder with the shared database, whose secrets are sealed with the first
    /// node's key.
    fn make_folder(&self) {
        let own = &self.config.server.data_dir;
        if own.exists() {
            return;
        }
        std::fs::create_dir_all(own).unwrap();
        let database = own.with_file_name(DATABASE);
        std::os::unix::fs::symlink(database, own.join(DATABASE)).unwrap();
        if self.number > 0 {
            let first = own.with_file_name("node-0");
            std::fs::copy(first.join(SECRETS), own.join(SECRETS)).unwrap();
        }
    }

    pub(super) fn configure(&self, webhooks: &[Value]) {
        let life = self.life();
        life.runtime.block_on(async {
            let registry = &life.node.app.registry;
            let tenant = registry.tenant(&antar::DEFAULT_TENANT.parse().unwrap()).unwrap();
            for webhook in webhooks {
                let spec = serde_json::from_value(webhook.clone()).unwrap();
                registry.create_webhook(&tenant, spec, None).await.unwrap();
            }
        });
    }

    pub(super) fn crash(&mut self, until_ms: i64) {
        self.state = Condition::Down(until_ms);
    }

    pub(super) fn stall(&mut self, until_ms: i64) {
        let state = std::mem::replace(&mut self.state, Condition::Down(until_ms));
        if let Condition::Up(life) = state {
            self.state = Condition::Stalled(life, until_ms);
        }
    }

    /// Advances time to `now_ms`.
    pub(super) fn step(&mut self, now_ms: i64) {
        match &mut self.state {
            Condition::Up(life) => life.go_on(now_ms + self.skew_ms),
            Condition::Stalled(_, until_ms) if *until_ms <= now_ms => {
                let state = std::mem::replace(&mut self.state, Condition::Down(now_ms));
                if let Condition::Stalled(mut life, _) = state {
                    life.go_on(now_ms + self.skew_ms);
                    self.state = Condition::Up(life);
                }
            }
            Condition::Down(until_ms) if *until_ms <= now_ms => self.start(now_ms),
            Condition::Stalled(..) | Condition::Down(_) => {}
        }
    }

    /// Posts the next event of a random key.
    pub(super) fn post(&self) {
        let Some((key, n)) = lock(&self.ledger).next_event() else { return };
        let (life, ledger) = (self.life(), Arc::clone(&self.ledger));
        let id = format!("k{key}-{n}");
        let event =
            json!({"type": "a.b", "id": id, "data": {"id": id, "key": format!("k{key}"), "n": n}});
        let (app, who) = (Arc::clone(&life.node.app), life.who);
        let answer = Posting { ledger, key, id, who, became: Became::Refused };
        life.runtime.spawn(async move {
            let mut answer = answer;
            let limits = &app.config.intake;
            let text = event.to_string();
            let event = intake::parse_document(text.as_bytes(), limits).unwrap();
            let draft = intake::draft(event.root(), limits);
            let tenant = app.registry.tenant(&antar::DEFAULT_TENANT.parse().unwrap()).unwrap();
            answer.became = match app.post_events(&tenant, vec![draft], None).await {
                Ok(Posted::New(answers)) => became(&answers),
                Ok(Posted::Before { .. }) | Err(_) => Became::Refused,
            };
        });
    }

    /// Deliveries that are pending, in flight or failed.
    pub(super) fn open_deliveries(&self) -> Vec<String> {
        let life = self.life();
        let tenant = antar::DEFAULT_TENANT.parse().unwrap();
        let store = &life.node.app.store;
        let mut open = Vec::new();
        for state in [State::Pending, State::InFlight, State::Failed] {
            let filter = DeliveryFilter { state: Some(state), ..DeliveryFilter::default() };
            let page =
                life.runtime.block_on(store.history.list_deliveries(&tenant, &filter, 10, None));
            let rows = page.unwrap().data;
            open.extend(rows.into_iter().map(|row| format!("{row:?}")));
        }
        open
    }
}

impl Life {
    /// Fires the timers up to `now_ms`; after a stall, all that are due at once.
    fn go_on(&mut self, now_ms: i64) {
        let passed_ms = now_ms - self.clock.now().0;
        self.clock.advance(Duration::from_millis(u64::try_from(passed_ms).unwrap_or_default()));
        self.runtime.block_on(async {
            if let Some(stalled_ms) = u64::try_from(passed_ms - STEP_MS).ok().filter(|ms| *ms > 0) {
                tokio::time::advance(Duration::from_millis(stalled_ms)).await;
            }
            tokio::time::sleep(Duration::from_millis(STEP_MS.unsigned_abs())).await;
        });
    }
}

/// Reports the outcome of a post when dropped, even if the node went away.
struct Posting {
    ledger: Arc<Mutex<Ledger>>,
    key: usize,
    id: String,
    who: Who,
    became: Became,
}

fn became(answers: &[Answer]) -> Became {
    match answers {
        [Answer::Accepted { duplicate: true, .. }] => Became::Known,
        [Answer::Accepted { .. }] => Became::Accepted,
        _ => Became::Refused,
    }
}

impl Drop for Posting {
    fn drop(&mut self) {
        lock(&self.ledger).posted(self.key, &self.id, self.who, self.became);
    }
}

/// Reports the end of an attempt when dropped, even if its deadline cut it off.
struct Attempting {
    ledger: Arc<Mutex<Ledger>>,
    who: Who,
    what: What,
    reply: Option<Reply>,
}

impl Drop for Attempting {
    fn drop(&mut self) {
        lock(&self.ledger).end(self.who, &self.what, self.reply);
    }
}

/// The receivers as a network of the node.
fn network(who: Who, ledger: Arc<Mutex<Ledger>>) -> Network {
    Arc::new(move |outgoing: Outgoing| {
        let ledger = Arc::clone(&ledger);
        Box::pin(async move {
            let request = read(who, &outgoing);
            let (reply, takes_ms) = lock(&ledger).begin(&request);
            let mut attempt = Attempting { ledger, who, what: request.what, reply: None };
            tokio::time::sleep(Duration::from_millis(takes_ms)).await;
            attempt.reply = Some(reply);
            match reply {
                Reply::Status(status) => Sent {
                    response: Some(Response {
                        status,
                        headers: Fields::default(),
                        body: String::new(),
                        truncated: false,
                    }),
                    error: None,
                },
                Reply::Broke => SendError::Broke("reset".to_owned()).into(),
                Reply::Never => std::future::pending().await,
            }
        })
    })
}

fn read(who: Who, outgoing: &Outgoing) -> Request {
    let body = outgoing.body.as_ref().unwrap().to_vec();
    let data = serde_json::from_slice::<Value>(&body).unwrap()["data"].take();
    let text = |name: &str| data[name].as_str().unwrap().to_owned();
    let (_, path) = outgoing.url.rsplit_once('/').unwrap();
    let what = What { webhook: Ledger::webhook(path), id: text("id") };
    Request { who, what, key: text("key"), n: data["n"].as_u64().unwrap(), body }
}
