//! Decides which delivery is attempted next: tenants take turns by weight, and within a tenant its lanes (one
//! queue per webhook, or per group of webhooks that share limits). Plain data, no tasks; "now" is an
//! argument.

mod claim_room;
mod resets;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::fair_turns::FairTurns;
use super::lane::Lane;
use super::lane_key::{LaneKey, LaneLimits};
use super::queue_occupancy::QueueOccupancy;
use super::slots::{Slots, Ticket};
use crate::config::DeliveryConfig;
use crate::model::Millis;
use crate::pipeline::Job;
use crate::pipeline::attempt::backoff::{BackoffLimits, Feedback};

/// Jobs that a resting lane returns to the database.
pub(super) struct GivenBack {
    pub(super) jobs: Vec<Job>,
    pub(super) due_at: Millis,
}

/// Result of trying to start a job of a lane.
enum Look {
    Started(Ticket, Box<Job>),
    /// Nothing can start now; a later event or time queues the lane again.
    Later,
    /// No slot is free for its next job.
    NoPlace(Kind),
}

/// The kind of slot that a job needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An attempt of a slow lane.
    Slow,
    First,
    Again,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Slow, Kind::First, Kind::Again];
}

/// All lanes. A lane exists while it has work or state to keep.
pub(super) struct Lanes {
    lanes: HashMap<LaneKey, Lane>,
    turns: FairTurns,
    /// Lanes that found no free slot, by the kind of their next job.
    parked: [VecDeque<LaneKey>; 3],
    /// Lanes that already use their share of the slots; retried when an attempt ends or moves to a slow slot.
    crowded: VecDeque<LaneKey>,
    /// Lanes that wait for their rate limit, by the time of their next start.
    paced: BTreeMap<Millis, Vec<LaneKey>>,
    /// Lanes whose receiver rests, by the end of the rest.
    resting: BTreeMap<Millis, Vec<LaneKey>>,
    slots: Slots,
    /// Places in memory that are taken, and those of slow lanes.
    places: usize,
    places_slow: usize,
    places_max: usize,
    lane_places_max: usize,
    /// Jobs that wait.
    waiting: usize,
    /// A job takes one more place for each of these bytes.
    place_bytes: usize,
    backoff: BackoffLimits,
    /// A claim was limited by the room in memory.
    claims_wait: bool,
    /// A full lane or tenant has room again: the database may hold deliveries for it.
    freed: bool,
    occupancy: Arc<QueueOccupancy>,
}

impl Lanes {
    pub(super) fn new(config: &DeliveryConfig) -> Lanes {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        Lanes {
            lanes: HashMap::new(),
            turns: FairTurns::default(),
            parked: Default::default(),
            crowded: VecDeque::new(),
            paced: BTreeMap::new(),
            resting: BTreeMap::new(),
            slots: Slots::new(config),
            places: 0,
            places_slow: 0,
            places_max: config.queue_max,
            lane_places_max: config.queue_per_webhook_max,
            waiting: 0,
            place_bytes: config.place_bytes(),
            backoff: BackoffLimits {
                slow_ms_max: ms(config.rest_ms_max),
                retry_after_ms_max: ms(config.retry_after_ms_max),
            },
            claims_wait: false,
            freed: false,
            occupancy: Arc::new(QueueOccupancy::new(config.queue_max)),
        }
    }

    pub(super) fn occupancy(&self) -> Arc<QueueOccupancy> {
        self.occupancy.clone()
    }

    pub(super) fn running(&self) -> usize {
        self.slots.running()
    }

    /// Free places in memory.
    fn room(&self) -> usize {
        self.places_max.saturating_sub(self.places)
    }

    /// Places that a job takes beside its own one, from when it waits until it is done.
    fn more_places(&self, job: &Job) -> usize {
        job.bytes() / self.place_bytes
    }

    /// When to run again without a message.
    pub(super) fn wake_at(&self) -> Option<Millis> {
        let waits = !self.turns.is_empty()
            || !self.crowded.is_empty()
            || self.parked.iter().any(|parked| !parked.is_empty());
        let aged = self.slots.age_at().filter(|_| waits);
        let times = [self.paced.keys().next().copied(), self.resting.keys().next().copied(), aged];
        times.into_iter().flatten().min()
    }

    /// Queues a job, or returns it if its lane, its tenant's share or memory is full.
    pub(super) fn push(&mut self, job: Job, limits: LaneLimits) -> Option<Job> {
        let room = self.room();
        if room == 0 {
            return Some(job);
        }
        let (half, places) = (self.half(), 1 + self.more_places(&job));
        let tenant = job.event.key.tenant.clone();
        let tenant_takes = self.turns.may_wait(&tenant, limits.weight, half);
        let new_lane = || Lane::new(tenant.clone());
        let lane = self.lanes.entry(limits.key.clone()).or_insert_with(new_lane);
        if matches!(limits.key, LaneKey::Share(..)) {
            lane.sharing.insert(job.webhook_id);
        }
        lane.in_flight_max = limits.in_flight_max.max(1);
        lane.interval_ms = limits.rate_per_s.map_or(0.0, |rate| 1_000.0 / rate);
        let max = lane.places_max(self.lane_places_max);
        // At most half of the remaining room for one lane, so that a few full lanes leave room for others;
        // and at most half of memory for all slow lanes. The last job may take more places than are left.
        let takes = tenant_takes
            && !lane.rests
            && lane.places < max.min((room / 2).max(1))
            && !(lane.slow && self.places_slow >= half);
        let mut refused = Some(job);
        if takes {
            refused.take().into_iter().for_each(|job| lane.push(job));
            lane.places += places;
            self.waiting += 1;
            self.places += places;
            self.places_slow += if lane.slow { places } else { 0 };
            if self.turns.came(&tenant, places, half) {
                self.occupancy.set_tenant_full(&tenant, true);
            }
        }
        if lane.places >= max || lane.rests {
            lane.told_full = true;
            let until = lane.rests.then(|| lane.backoff.rests_until());
            self.occupancy.set_full(lane.webhooks(&limits.key), until);
        }
        self.publish_occupancy();
        if refused.is_none() {
            self.queue(&limits.key);
        }
        refused
    }

    /// Share of memory for all slow lanes together, or for one tenant while others have work.
    fn half(&self) -> usize {
        self.places_max.div_ceil(2)
    }

    fn publish_occupancy(&self) {
        self.occupancy.set_taken(self.waiting, self.places, self.places_slow >= self.half());
    }

    /// Queues a lane for a turn if it can start a job.
    fn queue(&mut self, key: &LaneKey) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        if lane.queued || lane.waiting() == 0 || !lane.may_run() {
            return;
        }
        lane.queued = true;
        self.turns.put(&lane.tenant, key.clone());
    }

    /// The next job that may start, with the ticket to pass to `done`.
    pub(super) fn next(&mut self, now: Millis) -> Option<(Ticket, Job)> {
        self.end_waits(now);
        loop {
            let Some(key) = self.turns.pop() else {
                if self.unpark() { continue } else { return None }
            };
            match self.look_at(&key, now) {
                Look::Started(ticket, job) => {
                    self.turns.spend();
                    return Some((ticket, *job));
                }
                Look::Later => {}
                Look::NoPlace(kind) => self.park(key, kind),
            }
        }
    }

    fn park(&mut self, key: LaneKey, kind: Kind) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.parked = true;
            self.parked[kind as usize].push_back(key);
        }
    }

    /// Queues one parked lane of each kind that has free slots. True: at least one was queued.
    fn unpark(&mut self) -> bool {
        let mut found = false;
        for kind in Kind::ALL {
            while self.places(kind) > 0
                && let Some(key) = self.parked[kind as usize].pop_front()
            {
                if self.end_parking(&key) {
                    found = true;
                    break;
                }
            }
        }
        found
    }

    /// Queues a parked lane for a turn. False: it is not parked any more.
    fn end_parking(&mut self, key: &LaneKey) -> bool {
        let Some(lane) = self.lanes.get_mut(key).filter(|lane| lane.parked) else { return false };
        lane.parked = false;
        self.turns.put(&lane.tenant, key.clone());
        true
    }

    fn places(&self, kind: Kind) -> usize {
        self.slots.room(kind == Kind::Slow, kind == Kind::First)
    }

    fn back_in_turn(&mut self, key: LaneKey) {
        if let Some(lane) = self.lanes.get(&key) {
            self.turns.put(&lane.tenant, key);
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "milliseconds since 1970 fit into 53 bits for longer than this will run"
    )]
    fn look_at(&mut self, key: &LaneKey, now: Millis) -> Look {
        let Some(lane) = self.lanes.get_mut(key) else { return Look::Later };
        let now_ms = now.0 as f64;
        if lane.interval_ms > 0.0 && lane.next_start_ms > now_ms && lane.waiting() > 0 {
            let until = Millis(lane.next_start_ms.ceil() as i64);
            self.paced.entry(until).or_default().push(key.clone());
            return Look::Later;
        }
        if !lane.may_run() || lane.waiting() == 0 {
            lane.queued = false;
            return Look::Later;
        }
        let first = lane.first_is_next();
        let kind = match (lane.slow, first) {
            (true, _) => Kind::Slow,
            (false, true) => Kind::First,
            // The last quick slots are reserved for first attempts.
            (false, false) if self.slots.room(false, false) == 0 && lane.has_first() => Kind::First,
            (false, false) => Kind::Again,
        };
        let room = self.slots.room(kind == Kind::Slow, kind == Kind::First);
        if room == 0 {
            return Look::NoPlace(kind);
        }
        // As with memory: at most half of the remaining slots for one lane.
        if lane.running >= (room / 2).max(1) {
            lane.parked = true;
            self.crowded.push_back(key.clone());
            return Look::Later;
        }
        lane.queued = false;
        let Some(job) = lane.pop(kind == Kind::First) else { return Look::Later };
        lane.running += 1;
        // If the start is only slightly late, count from the planned time, so that the rate is not reduced.
        const LATE_MS_MAX: f64 = 5.0;
        let late = now_ms - lane.next_start_ms <= LATE_MS_MAX;
        lane.next_start_ms = if late { lane.next_start_ms } else { now_ms } + lane.interval_ms;
        let (slow, more) = (lane.slow, self.more_places(&job));
        let ticket = self.slots.start(key.clone(), slow, more, now);
        self.waiting -= 1;
        self.free_places(key, 1);
        self.queue(key);
        Look::Started(ticket, Box::new(job))
    }

    /// Frees places in memory that jobs of a lane had.
    fn free_places(&mut self, key: &LaneKey, count: usize) {
        let half = self.half();
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.places -= count;
        self.places -= count;
        let slow_were_full = self.places_slow >= half;
        self.places_slow -= if lane.slow { count } else { 0 };
        self.freed |= slow_were_full && self.places_slow < half;
        if self.claims_wait && self.places <= half {
            (self.claims_wait, self.freed) = (false, true);
        }
        // Reported only at half, so that the next claim is large.
        let max = lane.places_max(self.lane_places_max);
        if lane.told_full && !lane.rests && lane.places <= max / 2 {
            lane.told_full = false;
            self.freed = true;
            self.occupancy.unset_full(lane.webhooks(key));
        }
        if self.turns.left(&lane.tenant, count, half) {
            self.freed = true;
            self.occupancy.set_tenant_full(&lane.tenant, false);
        }
        self.publish_occupancy();
    }

    /// Queues the lanes whose wait is over, and moves attempts that run long to slow slots.
    fn end_waits(&mut self, now: Millis) {
        for key in self.slots.age(now) {
            self.set_slow(&key, true);
            self.look_at_crowded();
        }
        while let Some(entry) = self.paced.first_entry().filter(|entry| *entry.key() <= now) {
            entry.remove().into_iter().for_each(|key| self.back_in_turn(key));
        }
        while let Some(entry) = self.resting.first_entry().filter(|entry| *entry.key() <= now) {
            for key in entry.remove() {
                self.end_rest(key, now);
            }
        }
    }

    fn end_rest(&mut self, key: LaneKey, now: Millis) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let until = lane.backoff.rests_until();
        if until > now {
            self.occupancy.set_full(lane.webhooks(&key), Some(until));
            self.resting.entry(until).or_default().push(key);
            return;
        }
        (lane.rests, lane.told_full) = (false, false);
        self.occupancy.unset_full(lane.webhooks(&key));
        self.freed = true;
        self.queue(&key);
    }

    fn set_slow(&mut self, key: &LaneKey, slow: bool) {
        let Some(lane) = self.lanes.get_mut(key).filter(|lane| lane.slow != slow) else { return };
        lane.slow = slow;
        let places = lane.places;
        self.occupancy.set_slow(lane.webhooks(key), slow);
        if slow {
            self.places_slow += places;
        } else {
            self.places_slow -= places;
        }
        if !slow {
            self.freed = true;
            // A quick slot may be free for its next job.
            self.end_parking(key);
        }
        self.publish_occupancy();
    }

    /// Handles the end of an attempt and its feedback about the receiver. If the lane has to rest, returns
    /// its waiting jobs.
    pub(super) fn done(
        &mut self,
        ticket: &Ticket,
        now: Millis,
        feedback: Feedback,
    ) -> Option<GivenBack> {
        let quick = self.slots.end(ticket, now);
        let key = &ticket.lane;
        self.look_at_crowded();
        // The lane's own share is free again, regardless of other crowded lanes.
        self.end_parking(key);
        if ticket.places > 0 {
            self.free_places(key, ticket.places);
        }
        let lane = self.lanes.get_mut(key)?;
        lane.running = lane.running.saturating_sub(1);
        lane.backoff.observe(feedback, now, self.backoff);
        let until = lane.backoff.rests_until();
        let mut given_back = None;
        if until > now && !lane.rests {
            (lane.rests, lane.told_full) = (true, true);
            self.occupancy.set_full(lane.webhooks(key), Some(until));
            let jobs: Vec<Job> = lane.drain().collect();
            self.resting.entry(until).or_default().push(key.clone());
            self.waiting -= jobs.len();
            let places = jobs.iter().map(|job| 1 + self.more_places(job)).sum();
            self.free_places(key, places);
            given_back = Some(GivenBack { jobs, due_at: until });
        }
        // A receiver that answers late does not hang.
        self.set_slow(key, !quick && feedback == Feedback::Failed { answered: false });
        if self.lanes.get(key).is_some_and(|lane| lane.is_over(now)) {
            self.lanes.remove(key);
        } else {
            self.queue(key);
        }
        given_back
    }

    /// A slot is free: queues some of the crowded lanes.
    fn look_at_crowded(&mut self) {
        const LOOKED_AT_MAX: usize = 16;
        for _ in 0..LOOKED_AT_MAX {
            let Some(key) = self.crowded.pop_front() else { break };
            self.end_parking(&key);
        }
        self.unpark();
    }
}
