//! The queue of one webhook, or of webhooks that share limits, with its rate and backoff state.

use std::collections::{HashSet, VecDeque};

use super::lane_key::LaneKey;
use crate::model::{Millis, TenantId, WebhookId};
use crate::pipeline::Job;
use crate::pipeline::attempt::backoff::Backoff;

/// Places in memory for a receiver that gets one request at a time.
const SLOWED_PLACES_MAX: usize = 16;

pub(super) struct Lane {
    pub(super) tenant: TenantId,
    /// First attempts.
    young: VecDeque<Job>,
    again: VecDeque<Job>,
    /// First attempts and retries take turns.
    again_is_next: bool,
    /// Places in memory that waiting jobs take, and running ones with much data.
    pub(super) places: usize,
    pub(super) running: usize,
    pub(super) in_flight_max: usize,
    /// Milliseconds between two starts; 0 without a rate limit.
    pub(super) interval_ms: f64,
    /// The earliest next start, in milliseconds since 1970 with a fraction.
    pub(super) next_start_ms: f64,
    /// Already queued for a turn, or waiting for its rate limit.
    pub(super) queued: bool,
    pub(super) backoff: Backoff,
    /// Found no free slot, or already uses its share of the slots.
    pub(super) parked: bool,
    /// The receiver reported overload: nothing starts until the rest ends.
    pub(super) rests: bool,
    /// Its latest attempts run long without an answer.
    pub(super) slow: bool,
    /// Reported as full in the queue occupancy.
    pub(super) told_full: bool,
    /// Webhooks that share this lane.
    pub(super) sharing: HashSet<WebhookId>,
}

impl Lane {
    pub(super) fn new(tenant: TenantId) -> Lane {
        Lane {
            tenant,
            young: VecDeque::new(),
            again: VecDeque::new(),
            again_is_next: false,
            places: 0,
            running: 0,
            in_flight_max: 1,
            interval_ms: 0.0,
            next_start_ms: 0.0,
            queued: false,
            parked: false,
            backoff: Backoff::default(),
            rests: false,
            slow: false,
            told_full: false,
            sharing: HashSet::new(),
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.young.len() + self.again.len()
    }

    /// Places that it may take.
    pub(super) fn places_max(&self, of_config: usize) -> usize {
        if self.backoff.is_slow() { of_config.min(SLOWED_PLACES_MAX) } else { of_config }
    }

    /// Whether the webhook's own limits allow another running attempt.
    pub(super) fn may_run(&self) -> bool {
        let max = if self.backoff.is_slow() { 1 } else { self.in_flight_max };
        !self.rests && self.running < max
    }

    pub(super) fn push(&mut self, job: Job) {
        if job.attempts == 0 { &mut self.young } else { &mut self.again }.push_back(job);
    }

    /// Whether the next job is a first attempt.
    pub(super) fn first_is_next(&self) -> bool {
        !self.young.is_empty() && (self.again.is_empty() || !self.again_is_next)
    }

    pub(super) fn has_first(&self) -> bool {
        !self.young.is_empty()
    }

    /// Takes the next job; `first_only`: the next first attempt.
    pub(super) fn pop(&mut self, first_only: bool) -> Option<Job> {
        if first_only || self.first_is_next() {
            self.again_is_next = true;
            self.young.pop_front()
        } else {
            self.again_is_next = false;
            self.again.pop_front()
        }
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Job> {
        self.young.drain(..).chain(self.again.drain(..))
    }

    /// The webhooks of this lane.
    pub(super) fn webhooks<'a>(
        &'a self,
        key: &LaneKey,
    ) -> impl Iterator<Item = WebhookId> + use<'a> {
        let own = match key {
            LaneKey::Webhook(id) => Some(*id),
            LaneKey::Share(..) => None,
        };
        own.into_iter().chain(self.sharing.iter().copied())
    }

    /// Whether the lane has neither work nor state to keep.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit into 53 bits")]
    pub(super) fn is_over(&self, now: Millis) -> bool {
        self.waiting() == 0
            && self.running == 0
            && !self.queued
            && !self.rests
            && !self.slow
            && !self.told_full
            && !self.backoff.is_slow()
            && self.next_start_ms <= now.0 as f64
    }
}
