//! Who is next: a queue for each webhook, taken in turn. Plain data, no tasks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::config::DeliveryConfig;
use crate::model::WebhookId;
use crate::pipeline::Job;

/// How full memory is, for those who ask from other threads.
pub(super) struct Load {
    waiting: AtomicUsize,
    waiting_max: usize,
    full: RwLock<std::collections::HashSet<WebhookId>>,
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
    /// In `turn` already.
    queued: bool,
}

/// All lanes. A lane exists while it has work.
pub(super) struct Lanes {
    lanes: HashMap<WebhookId, Lane>,
    /// Lanes that may start something, in turn.
    turn: VecDeque<WebhookId>,
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

    /// Queues a job, or gives it back where its lane or memory is full.
    pub(super) fn push(&mut self, job: Job, in_flight_max: usize) -> Option<Job> {
        if self.room() == 0 {
            return Some(job);
        }
        let webhook_id = job.webhook_id;
        let lane = self.lanes.entry(webhook_id).or_default();
        if lane.waiting.len() >= self.lane_waiting_max {
            return Some(job);
        }
        lane.in_flight_max = in_flight_max.max(1);
        lane.waiting.push_back(job);
        if lane.waiting.len() >= self.lane_waiting_max {
            self.load.full.write().insert(webhook_id);
        }
        if !lane.queued && lane.running < lane.in_flight_max {
            lane.queued = true;
            self.turn.push_back(webhook_id);
        }
        self.count(1);
        None
    }

    fn count(&mut self, change: isize) {
        self.waiting = self.waiting.saturating_add_signed(change);
        self.load.waiting.store(self.waiting, Ordering::Relaxed);
    }

    /// The next job to start, if one may.
    pub(super) fn next(&mut self) -> Option<Job> {
        if self.running >= self.running_max {
            return None;
        }
        let webhook_id = self.turn.pop_front()?;
        let lane = self.lanes.get_mut(&webhook_id)?;
        let job = lane.waiting.pop_front();
        lane.queued = false;
        if job.is_some() {
            lane.running += 1;
            self.running += 1;
        }
        if !lane.waiting.is_empty() && lane.running < lane.in_flight_max {
            lane.queued = true;
            self.turn.push_back(webhook_id);
        }
        if lane.waiting.len() + 1 == self.lane_waiting_max {
            self.load.full.write().remove(&webhook_id);
        }
        self.count(-isize::from(job.is_some()));
        job
    }

    /// An attempt ended.
    pub(super) fn done(&mut self, webhook_id: WebhookId) {
        let Some(lane) = self.lanes.get_mut(&webhook_id) else { return };
        lane.running = lane.running.saturating_sub(1);
        self.running = self.running.saturating_sub(1);
        if lane.waiting.is_empty() && lane.running == 0 {
            self.lanes.remove(&webhook_id);
        } else if !lane.waiting.is_empty() && !lane.queued {
            lane.queued = true;
            self.turn.push_back(webhook_id);
        }
    }

    /// Empties the queues; what runs goes on.
    pub(super) fn clear(&mut self) -> Vec<Job> {
        self.turn.clear();
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
    use crate::model::{DeliveryId, Event, EventKey, Millis};

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
            webhook_id: WebhookId(uuid::Uuid::from_u128(webhook)),
            event: Arc::new(event),
            attempts: 0,
            schedule_start: 0,
            frozen: None,
        }
    }

    fn lanes(queue_max: usize, queue_per_webhook_max: usize) -> Lanes {
        Lanes::new(&DeliveryConfig {
            queue_max,
            queue_per_webhook_max,
            ..DeliveryConfig::default()
        })
    }

    fn started(lanes: &mut Lanes) -> Vec<u128> {
        std::iter::from_fn(|| lanes.next()).map(|job| job.webhook_id.0.as_u128()).collect()
    }

    #[test]
    fn webhooks_take_turns_and_stay_within_their_bound() {
        let mut lanes = lanes(100, 100);
        for webhook in [1, 1, 1, 2, 3] {
            assert!(lanes.push(job(webhook), 2).is_none());
        }
        assert_eq!(started(&mut lanes), [1, 2, 3, 1]);
        lanes.done(WebhookId(uuid::Uuid::from_u128(2)));
        assert_eq!(started(&mut lanes), []);
        lanes.done(WebhookId(uuid::Uuid::from_u128(1)));
        assert_eq!(started(&mut lanes), [1]);
    }

    #[test]
    fn a_full_lane_refuses_and_takes_again() {
        let mut lanes = lanes(3, 2);
        let load = lanes.load();
        let one = WebhookId(uuid::Uuid::from_u128(1));
        assert!(lanes.push(job(1), 1).is_none() && lanes.push(job(1), 1).is_none());
        assert!(lanes.push(job(1), 1).is_some());
        assert!(!load.has_room(one));
        assert_eq!(lanes.full(), [one]);
        assert!(lanes.push(job(2), 1).is_none());
        assert!(lanes.push(job(3), 1).is_some(), "memory is full");
        assert_eq!(started(&mut lanes), [1, 2]);
        assert!(load.has_room(one));
        assert_eq!(lanes.clear().len(), 1);
        assert_eq!(lanes.running(), 2);
    }
}
