//! What the simulated receivers get, and the guarantees that are checked on it:
//!
//! * an accepted event arrives, with the same bytes each time;
//! * a delivery is attempted by one node at a time, unless a node stalled or had no database, so
//!   that its lease may have expired;
//! * events of one ordering key don't arrive before those accepted earlier;
//! * a webhook's `in_flight_max` and `rate_per_s` hold on each node;
//! * an attempt whose failure was recorded is not retried before its schedule says;
//! * a first attempt begins soon after its event was accepted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::dice::Dice;

/// Limit of the webhook `paced`, on each node.
pub(super) const RATE_PER_S: usize = 4;
/// Limit of the webhook `narrow`, on each node.
pub(super) const NARROW_MAX: usize = 2;
/// Limit of webhooks that set none.
const IN_FLIGHT_MAX: usize = 16;
/// The first delay of all retry schedules.
const RETRY_MS: i64 = 1_000;
/// Bound on the difference between two nodes' clocks plus one step.
const TOLERANCE_MS: i64 = 60;
/// Time limit for a first attempt to begin.
const PROMPT_MS: i64 = 5_000;
/// How long after a stall or a database outage a node may have lost its leases.
const LATE_FOR_MS: i64 = 15_000;

const WEBHOOKS: [&str; 5] = ["plain", "ordered", "paced", "narrow", "hanging"];
const KEYS: usize = 8;

/// A node in one of its lives, from a start to a crash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Who {
    pub(super) node: usize,
    pub(super) life: u64,
}

/// The delivery that an attempt belongs to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct What {
    pub(super) webhook: &'static str,
    pub(super) id: String,
}

/// The receiver's behaviour.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    Status(u16),
    Broke,
    Never,
}

/// A request on arrival.
pub(super) struct Request {
    pub(super) who: Who,
    pub(super) what: What,
    pub(super) key: String,
    pub(super) n: u64,
    pub(super) body: Vec<u8>,
}

struct UnderWay {
    who: Who,
    /// The node's lease may have expired since.
    late: bool,
}

struct Failed {
    who: Who,
    at_ms: i64,
}

/// Outcome of a post.
#[derive(Clone, Copy)]
pub(super) enum Became {
    /// Also if its node went away before it answered.
    Refused,
    Accepted,
    /// An earlier post stored the event, but was not answered.
    Known,
}

struct Accepted {
    by: Who,
    at_ms: i64,
}

#[derive(Default)]
struct Key {
    n: u64,
    posting: bool,
}

pub(super) struct Ledger {
    pub(super) now_ms: i64,
    pub(super) attempts: usize,
    pub(super) again: usize,
    pub(super) refused: usize,
    /// The first violated guarantee. It is stored because the server would catch a panic inside an
    /// attempt.
    pub(super) broken: Option<String>,
    dice: Dice,
    well: bool,
    keys: [Key; KEYS],
    accepted: HashMap<String, Accepted>,
    /// Digests of received bodies.
    bodies: HashMap<What, u64>,
    /// Deliveries that were answered with success.
    arrived: HashSet<What>,
    under_way: HashMap<What, Vec<UnderWay>>,
    running: HashMap<(Who, &'static str), usize>,
    paced: HashMap<Who, VecDeque<i64>>,
    failed: HashMap<What, Failed>,
    last_of_key: HashMap<String, u64>,
    late_until_ms: HashMap<usize, i64>,
    stalled_until_ms: HashMap<usize, i64>,
}

impl Ledger {
    pub(super) fn new(dice: Dice, now_ms: i64) -> Ledger {
        Ledger {
            now_ms,
            attempts: 0,
            again: 0,
            refused: 0,
            broken: None,
            dice,
            well: false,
            keys: Default::default(),
            accepted: HashMap::new(),
            bodies: HashMap::new(),
            arrived: HashSet::new(),
            under_way: HashMap::new(),
            running: HashMap::new(),
            paced: HashMap::new(),
            failed: HashMap::new(),
            last_of_key: HashMap::new(),
            late_until_ms: HashMap::new(),
            stalled_until_ms: HashMap::new(),
        }
    }

    pub(super) fn webhook(path: &str) -> &'static str {
        WEBHOOKS.into_iter().find(|name| *name == path).expect("a webhook of this world")
    }

    /// The key and number of an event that may be posted now. The next event of a key is posted
    /// once the last one was accepted.
    pub(super) fn next_event(&mut self) -> Option<(usize, u64)> {
        let key = self.dice.index(KEYS);
        let Key { n, posting } = &mut self.keys[key];
        if std::mem::replace(posting, true) { None } else { Some((key, *n)) }
    }

    /// Records the outcome of a post; an event that was not accepted is posted again.
    pub(super) fn posted(&mut self, key: usize, id: &str, by: Who, became: Became) {
        self.keys[key].posting = false;
        let at_ms = match became {
            Became::Refused => {
                self.refused += 1;
                return;
            }
            Became::Accepted => self.now_ms,
            // The node that stored it may be gone.
            Became::Known => i64::MAX,
        };
        self.keys[key].n += 1;
        self.accepted.insert(id.to_owned(), Accepted { by, at_ms });
    }

    pub(super) fn crashed(&mut self, node: usize) {
        self.under_way.values_mut().for_each(|all| all.retain(|one| one.who.node != node));
        self.under_way.retain(|_, all| !all.is_empty());
        self.running.retain(|(who, _), _| who.node != node);
        self.paced.retain(|who, _| who.node != node);
        self.failed.retain(|_, failed| failed.who.node != node);
        self.accepted.values_mut().filter(|one| one.by.node == node).for_each(|one| {
            // The node that takes it over needs time.
            one.at_ms = i64::MAX;
        });
    }

    /// Other nodes may take over what the node owns, from now until a while after `until_ms`.
    pub(super) fn is_late(&mut self, node: usize, until_ms: i64) {
        let until = self.late_until_ms.entry(node).or_default();
        *until = (*until).max(until_ms + LATE_FOR_MS);
        let all = self.under_way.values_mut().flatten();
        all.filter(|one| one.who.node == node).for_each(|one| one.late = true);
        self.failed.retain(|_, failed| failed.who.node != node);
        let own = self.accepted.values_mut().filter(|one| one.by.node == node);
        own.for_each(|one| one.at_ms = i64::MAX);
    }

    pub(super) fn stalls(&mut self, node: usize, until_ms: i64) {
        self.is_late(node, until_ms);
        self.stalled_until_ms.insert(node, until_ms + 2 * TOLERANCE_MS);
    }

    fn is_in(until_ms: &HashMap<usize, i64>, node: usize, now_ms: i64) -> bool {
        until_ms.get(&node).is_some_and(|until| now_ms <= *until)
    }

    /// Checks a request that arrives. Returns the reply, and its delay in milliseconds.
    pub(super) fn begin(&mut self, request: &Request) -> (Reply, u64) {
        let Request { who, what, key, n, body } = request;
        let (who, now_ms) = (*who, self.now_ms);
        let late = Self::is_in(&self.late_until_ms, who.node, now_ms);
        self.attempts += 1;
        let first = self.same_bytes(what, body);
        self.alone(who, what, late);
        if what.webhook == "ordered" {
            self.in_order(who, key, *n);
        }
        self.within_limits(who, what.webhook);
        self.in_time(who, what, first && !late);
        self.reply(what.webhook)
    }

    fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some(otherwise());
        }
    }

    /// Returns whether the request arrives for the first time.
    fn same_bytes(&mut self, what: &What, body: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let digest = hasher.finish();
        let before = self.bodies.insert(what.clone(), digest);
        self.again += usize::from(before.is_some());
        self.must(before.is_none_or(|before| before == digest), || {
            format!("{what:?} came with other bytes")
        });
        before.is_none()
    }

    fn alone(&mut self, who: Who, what: &What, late: bool) {
        let all = self.under_way.entry(what.clone()).or_default();
        let other = all.iter().find(|other| !other.late && !late).map(|other| other.who);
        all.push(UnderWay { who, late });
        self.must(other.is_none(), || {
            format!("{what:?} is attempted by {who:?} while {other:?} is at it")
        });
    }

    fn in_order(&mut self, who: Who, key: &str, n: u64) {
        // Attempts that began before a stall arrive whenever the node resumes.
        if Self::is_in(&self.stalled_until_ms, who.node, self.now_ms) {
            return;
        }
        let last = self.last_of_key.insert(key.to_owned(), n).unwrap_or_default();
        self.must(n >= last, || format!("{n} of {key} is attempted by {who:?} after {last}"));
    }

    fn within_limits(&mut self, who: Who, webhook: &'static str) {
        let running = self.running.entry((who, webhook)).or_default();
        *running += 1;
        let max = if webhook == "narrow" { NARROW_MAX } else { IN_FLIGHT_MAX };
        let running = *running;
        self.must(running <= max, || format!("{running} attempts of {webhook} at once by {who:?}"));
        if webhook == "paced" {
            let starts = self.paced.entry(who).or_default();
            starts.push_back(self.now_ms);
            while starts.front().is_some_and(|start| *start <= self.now_ms - 1_000) {
                starts.pop_front();
            }
            // Starts are observed in steps, so one more may fall into either end of the second.
            let count = starts.len();
            self.must(count <= RATE_PER_S + 1, || format!("{count} starts in a second by {who:?}"));
        }
    }

    fn in_time(&mut self, who: Who, what: &What, first: bool) {
        if let Some(failed) = self.failed.remove(what) {
            let after_ms = self.now_ms - failed.at_ms;
            let waited = after_ms >= RETRY_MS - TOLERANCE_MS;
            self.must(waited, || format!("{what:?} is tried again after {after_ms} ms"));
        }
        if what.webhook != "plain" || !first {
            return;
        }
        if let Some(accepted) = self.accepted.get_mut(&what.id) {
            let after_ms = self.now_ms.saturating_sub(accepted.at_ms);
            accepted.at_ms = i64::MAX;
            self.must(after_ms <= PROMPT_MS, || {
                format!("{what:?} is first attempted by {who:?} after {after_ms} ms")
            });
        }
    }

    fn reply(&mut self, webhook: &str) -> (Reply, u64) {
        let takes_ms = 1 + self.dice.below_ms(40);
        if self.well {
            return (Reply::Status(200), takes_ms);
        }
        let reply = match (webhook, self.dice.index(100)) {
            ("hanging", 0..60) => Reply::Never,
            ("paced" | "narrow", 0..3) => Reply::Status(503),
            ("paced" | "narrow", 3..5) => Reply::Status(429),
            (_, 0..8) => Reply::Status(500),
            (_, 8..12) => Reply::Broke,
            (_, 12..14) => Reply::Never,
            _ => Reply::Status(200),
        };
        // Some replies take long enough to count as slow.
        let slow_ms = if self.dice.one_in(50) { self.dice.below_ms(3_000) } else { 0 };
        (reply, takes_ms + slow_ms)
    }

    /// Records the end of an attempt, whatever its result. No effect for attempts cut off by a
    /// crash.
    pub(super) fn end(&mut self, who: Who, what: &What, reply: Option<Reply>) {
        let Some(all) = self.under_way.get_mut(what) else { return };
        let Some(at) = all.iter().position(|one| one.who == who) else { return };
        let one = all.swap_remove(at);
        if all.is_empty() {
            self.under_way.remove(what);
        }
        if let Some(running) = self.running.get_mut(&(who, what.webhook)) {
            *running -= 1;
        }
        if matches!(reply, Some(Reply::Status(200))) {
            self.arrived.insert(what.clone());
        } else if !one.late {
            self.failed.insert(what.clone(), Failed { who, at_ms: self.now_ms });
        }
    }

    pub(super) fn receivers_are_well(&mut self) {
        self.well = true;
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.len()
    }

    fn open(&self) -> impl Iterator<Item = What> {
        let ids = self.accepted.keys();
        let all = ids.flat_map(|id| WEBHOOKS.map(|webhook| What { webhook, id: id.clone() }));
        all.filter(|what| !self.arrived.contains(what))
    }

    pub(super) fn has_all_arrived(&self) -> bool {
        self.arrived.len() >= self.accepted.len() * WEBHOOKS.len() && self.open().next().is_none()
    }

    pub(super) fn missing(&self) -> String {
        let some: Vec<What> = self.open().take(5).collect();
        format!("{} of them, such as {some:?}", self.open().count())
    }
}
