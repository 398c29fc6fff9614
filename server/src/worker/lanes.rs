//! Who is next: a queue for each webhook (or for those that share their limits), taken in turn.
//! Plain data, no tasks; "now" is an argument.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::config::DeliveryConfig;
use crate::model::{Millis, TenantId, WebhookId};
use crate::pipeline::Job;

/// What counts together.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum LaneKey {
    Webhook(WebhookId),
    /// Webhooks of a tenant that name the same `limits.share`.
    Share(TenantId, String),
}

/// The bounds of a lane. Of webhooks that share one, the last to queue something decides.
#[derive(Clone, Debug)]
pub(super) struct LaneLimits {
    pub(super) key: LaneKey,
    pub(super) in_flight_max: usize,
    pub(super) rate_per_s: Option<f64>,
}

/// How full memory is, for those who ask from other threads.
pub(super) struct Load {
    waiting: AtomicUsize,
    waiting_max: usize,
    full: RwLock<HashSet<WebhookId>>,
}

impl Load {
    pub(super) fn has_room(&self, webhook_id: WebhookId) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.waiting_max
            && !self.full.read().contains(&webhook_id)
    }
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<Job>,
    running: usize,
    in_flight_max: usize,
    /// Time between two starts; 0 without a rate.
    interval_ms: f64,
    /// The earliest next start, in milliseconds since 1970 with a fraction.
    next_start_ms: f64,
    /// In `turn` or `resting` already.
    queued: bool,
    /// Webhooks that were told that the lane is full.
    told_full: HashSet<WebhookId>,
}

/// All lanes. A lane exists while it has work, or its rate says when the next may start.
pub(super) struct Lanes {
    lanes: HashMap<LaneKey, Lane>,
    /// Lanes that may start something, in turn.
    turn: VecDeque<LaneKey>,
    /// Lanes that have their share of what may run at once; looked at again when something ends.
    crowded: Vec<LaneKey>,
    /// Lanes that wait for their rate, by the time when they may go on.
    resting: BTreeMap<Millis, Vec<LaneKey>>,
    running: usize,
    waiting: usize,
    running_max: usize,
    lane_waiting_max: usize,
    load: Arc<Load>,
}

impl Lanes {
    pub(super) fn new(config: &DeliveryConfig) -> Lanes {
        let load = Load {
            waiting: AtomicUsize::new(0),
            waiting_max: config.queue_max,
            full: RwLock::default(),
        };
        Lanes {
            lanes: HashMap::new(),
            turn: VecDeque::new(),
            crowded: Vec::new(),
            resting: BTreeMap::new(),
            running: 0,
            waiting: 0,
            running_max: config.in_flight_max,
            lane_waiting_max: config.queue_per_webhook_max,
            load: Arc::new(load),
        }
    }

    pub(super) fn load(&self) -> Arc<Load> {
        self.load.clone()
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// How many more may wait.
    pub(super) fn room(&self) -> usize {
        self.load.waiting_max.saturating_sub(self.waiting)
    }

    /// Webhooks whose lane takes no more.
    pub(super) fn full(&self) -> Vec<WebhookId> {
        self.load.full.read().iter().copied().collect()
    }

    /// When a lane that rests may go on.
    pub(super) fn wake_at(&self) -> Option<Millis> {
        self.resting.keys().next().copied()
    }

    /// Queues a job, or gives it back where its lane or memory is full.
    pub(super) fn push(&mut self, job: Job, limits: LaneLimits) -> Option<Job> {
        let room = self.room();
        if room == 0 {
            return Some(job);
        }
        let webhook_id = job.webhook_id;
        let lane = self.lanes.entry(limits.key.clone()).or_default();
        // Half of what is left at most, so that a few full lanes leave room for the others.
        let share_max = (room / 2).max(1);
        let refused = if lane.waiting.len() >= self.lane_waiting_max.min(share_max) {
            Some(job)
        } else {
            lane.waiting.push_back(job);
            None
        };
        if lane.waiting.len() >= self.lane_waiting_max && lane.told_full.insert(webhook_id) {
            self.load.full.write().insert(webhook_id);
        }
        lane.in_flight_max = limits.in_flight_max.max(1);
        lane.interval_ms = limits.rate_per_s.map_or(0.0, |rate| 1_000.0 / rate);
        if !lane.queued && lane.running < lane.in_flight_max {
            lane.queued = true;
            self.turn.push_back(limits.key);
        }
        if refused.is_none() {
            self.count(1);
        }
        refused
    }

    fn count(&mut self, change: isize) {
        self.waiting = self.waiting.saturating_add_signed(change);
        self.load.waiting.store(self.waiting, Ordering::Relaxed);
    }

    /// The next job to start, if one may, and the lane to tell when it is done.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "milliseconds since 1970 fit into 53 bits for longer than this will run"
    )]
    pub(super) fn next(&mut self, now: Millis) -> Option<(LaneKey, Job)> {
        self.end_rests(now);
        while self.running < self.running_max {
            let key = self.turn.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            let now_ms = now.0 as f64;
            if lane.interval_ms > 0.0 && lane.next_start_ms > now_ms && !lane.waiting.is_empty() {
                let rests_until = Millis(lane.next_start_ms.ceil() as i64);
                self.resting.entry(rests_until).or_default().push(key);
                continue;
            }
            lane.queued = false;
            // Likewise half of the attempts that are left.
            let share_max = ((self.running_max - self.running) / 2).max(1);
            if lane.running >= lane.in_flight_max {
                continue;
            }
            if lane.running >= share_max {
                lane.queued = true;
                self.crowded.push(key);
                continue;
            }
            let Some(job) = lane.waiting.pop_front() else { continue };
            lane.running += 1;
            self.running += 1;
            // From the planned time on where the look was a little late, so that it costs no rate.
            const LATE_MS_MAX: f64 = 5.0;
            let late = now_ms - lane.next_start_ms <= LATE_MS_MAX;
            lane.next_start_ms = if late { lane.next_start_ms } else { now_ms } + lane.interval_ms;
            if !lane.waiting.is_empty() && lane.running < lane.in_flight_max {
                lane.queued = true;
                self.turn.push_back(key.clone());
            }
            if lane.waiting.len() + 1 == self.lane_waiting_max {
                let mut full = self.load.full.write();
                lane.told_full.drain().for_each(|webhook_id| {
                    full.remove(&webhook_id);
                });
            }
            self.count(-1);
            return Some((key, job));
        }
        None
    }

    fn end_rests(&mut self, now: Millis) {
        while let Some(entry) = self.resting.first_entry().filter(|entry| *entry.key() <= now) {
            self.turn.extend(entry.remove());
        }
    }

    /// An attempt ended.
    #[expect(clippy::cast_precision_loss, reason = "as in `next`")]
    pub(super) fn done(&mut self, key: &LaneKey, now: Millis) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.running = lane.running.saturating_sub(1);
        self.running = self.running.saturating_sub(1);
        self.turn.extend(self.crowded.drain(..));
        let spent = lane.next_start_ms <= now.0 as f64;
        if lane.waiting.is_empty() && lane.running == 0 && !lane.queued && spent {
            self.lanes.remove(key);
        } else if !lane.waiting.is_empty() && !lane.queued && lane.running < lane.in_flight_max {
            lane.queued = true;
            self.turn.push_back(key.clone());
        }
    }

    /// Empties the queues; what runs goes on.
    pub(super) fn clear(&mut self) -> Vec<Job> {
        self.turn.clear();
        self.crowded.clear();
        self.resting.clear();
        let mut jobs = Vec::with_capacity(self.waiting);
        for lane in self.lanes.values_mut() {
            lane.queued = false;
            jobs.extend(lane.waiting.drain(..));
        }
        self.load.full.write().clear();
        self.waiting = 0;
        self.load.waiting.store(0, Ordering::Relaxed);
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeliveryId, Event, EventKey};

    fn job(webhook: u128) -> Job {
        let key = EventKey {
            tenant: "t".parse().unwrap(),
            source: String::new(),
            id: "e".parse().unwrap(),
        };
        let data: antar_json::Document = "{}".parse().unwrap();
        let event = Event::new(key, "a".parse().unwrap(), Millis(0), Vec::new(), data.root());
        Job {
            delivery_id: DeliveryId::new(Millis(0)),
            webhook_id: id(webhook),
            event: Arc::new(event),
            attempts: 0,
            schedule_start: 0,
            frozen: None,
        }
    }

    fn id(webhook: u128) -> WebhookId {
        WebhookId(uuid::Uuid::from_u128(webhook))
    }

    fn limits(webhook: u128, in_flight_max: usize) -> LaneLimits {
        LaneLimits { key: LaneKey::Webhook(id(webhook)), in_flight_max, rate_per_s: None }
    }

    fn lanes(queue_max: usize, queue_per_webhook_max: usize) -> Lanes {
        Lanes::new(&DeliveryConfig {
            queue_max,
            queue_per_webhook_max,
            ..DeliveryConfig::default()
        })
    }

    fn started(lanes: &mut Lanes, now: i64) -> Vec<u128> {
        let jobs = std::iter::from_fn(|| lanes.next(Millis(now)));
        jobs.map(|(_, job)| job.webhook_id.0.as_u128()).collect()
    }

    #[test]
    fn webhooks_take_turns_and_stay_within_their_bound() {
        let mut lanes = lanes(100, 100);
        for webhook in [1, 1, 1, 2, 3] {
            assert!(lanes.push(job(webhook), limits(webhook, 2)).is_none());
        }
        assert_eq!(started(&mut lanes, 0), [1, 2, 3, 1]);
        lanes.done(&LaneKey::Webhook(id(2)), Millis(0));
        assert_eq!(started(&mut lanes, 0), []);
        lanes.done(&LaneKey::Webhook(id(1)), Millis(0));
        assert_eq!(started(&mut lanes, 0), [1]);
    }

    #[test]
    fn a_full_lane_refuses_and_takes_again() {
        let mut lanes = lanes(8, 2);
        let load = lanes.load();
        let mut push = |webhook| lanes.push(job(webhook), limits(webhook, 1)).is_none();
        assert!(push(1) && push(1));
        assert!(!push(1), "the lane is full");
        assert!(!load.has_room(id(1)));
        assert!(push(2) && push(2) && push(3));
        assert!(!push(3), "the last places are for others");
        assert!(push(4) && push(5) && push(6));
        assert!(!push(7), "memory is full");
        assert_eq!(lanes.full().len(), 2);
        assert_eq!(started(&mut lanes, 0), [1, 2, 3, 4, 5, 6]);
        assert!(load.has_room(id(1)));
        assert_eq!(lanes.clear().len(), 2);
        assert_eq!(lanes.running(), 6);
    }

    #[test]
    fn one_webhook_leaves_attempts_for_others() {
        let config = DeliveryConfig { in_flight_max: 8, ..DeliveryConfig::default() };
        let mut lanes = Lanes::new(&config);
        for webhook in [1, 1, 1, 1, 1, 1, 1, 1, 2] {
            assert!(lanes.push(job(webhook), limits(webhook, 100)).is_none());
        }
        let first = started(&mut lanes, 0);
        assert_eq!(first.iter().filter(|webhook| **webhook == 1).count(), 2);
        assert!(first.contains(&2));
        lanes.done(&LaneKey::Webhook(id(2)), Millis(0));
        lanes.done(&LaneKey::Webhook(id(1)), Millis(0));
        assert_eq!(started(&mut lanes, 0), [1, 1], "there is more room again");
    }

    #[test]
    fn a_rate_is_kept_smoothly_and_holds_nobody_else() {
        let mut lanes = lanes(100, 100);
        let slow = LaneLimits { rate_per_s: Some(4.0), ..limits(1, 10) };
        for _ in 0..4 {
            assert!(lanes.push(job(1), slow.clone()).is_none());
        }
        assert!(lanes.push(job(2), limits(2, 10)).is_none());
        assert_eq!(started(&mut lanes, 1_000), [1, 2]);
        assert_eq!(lanes.wake_at(), Some(Millis(1_250)));
        assert_eq!(started(&mut lanes, 1_249), []);
        assert_eq!(started(&mut lanes, 1_250), [1]);
        // What was missed is not made up for in a burst.
        assert_eq!(started(&mut lanes, 9_000), [1]);
        assert_eq!(started(&mut lanes, 9_250), [1]);
    }

    #[test]
    fn a_rate_outlives_an_empty_queue() {
        let mut lanes = lanes(100, 100);
        let slow = LaneLimits { rate_per_s: Some(1.0), ..limits(1, 10) };
        assert!(lanes.push(job(1), slow.clone()).is_none());
        assert_eq!(started(&mut lanes, 0), [1]);
        lanes.done(&slow.key, Millis(10));
        assert!(lanes.push(job(1), slow.clone()).is_none());
        assert_eq!(started(&mut lanes, 10), []);
        assert_eq!(started(&mut lanes, 1_000), [1]);
    }

    #[test]
    fn webhooks_with_the_same_share_count_together() {
        let mut lanes = lanes(100, 100);
        let key = LaneKey::Share("t".parse().unwrap(), "crm".to_owned());
        let shared = LaneLimits { key: key.clone(), in_flight_max: 1, rate_per_s: None };
        for webhook in [1, 2] {
            assert!(lanes.push(job(webhook), shared.clone()).is_none());
        }
        assert_eq!(started(&mut lanes, 0), [1]);
        lanes.done(&key, Millis(0));
        assert_eq!(started(&mut lanes, 0), [2]);
    }
}
