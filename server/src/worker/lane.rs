//! The queue of one webhook, or of those that share their limits.

use std::collections::{HashSet, VecDeque};

use super::lane_key::LaneKey;
use crate::model::{Millis, TenantId, WebhookId};
use crate::pipeline::Job;
use crate::pipeline::attempt::backoff::Backoff;

/// What waits in memory for a receiver that gets one request at a time.
const SLOWED_WAITING_MAX: usize = 16;

pub(super) struct Lane {
    pub(super) tenant: TenantId,
    /// First attempts.
    young: VecDeque<Job>,
    again: VecDeque<Job>,
    /// Both take turns.
    again_is_next: bool,
    pub(super) running: usize,
    pub(super) in_flight_max: usize,
    /// Time between two starts; 0 without a rate.
    pub(super) interval_ms: f64,
    /// The earliest next start, in milliseconds since 1970 with a fraction.
    pub(super) next_start_ms: f64,
    /// Among those whose turn it will be, or that wait for their rate, already.
    pub(super) queued: bool,
    pub(super) backoff: Backoff,
    /// Among those for which there was no place, or that have their share of the places.
    pub(super) parked: bool,
    /// The receiver said that it is too much: nothing starts for a while.
    pub(super) rests: bool,
    /// Its attempts take long and end without an answer, as far as is known.
    pub(super) slow: bool,
    /// Others were told that it takes no more.
    pub(super) told_full: bool,
    /// Webhooks that share it.
    pub(super) sharing: HashSet<WebhookId>,
}

impl Lane {
    pub(super) fn new(tenant: TenantId) -> Lane {
        Lane {
            tenant,
            young: VecDeque::new(),
            again: VecDeque::new(),
            again_is_next: false,
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

    /// How many may wait.
    pub(super) fn waiting_max(&self, of_config: usize) -> usize {
        if self.backoff.is_slow() { of_config.min(SLOWED_WAITING_MAX) } else { of_config }
    }

    /// Whether one more may be under way, as far as the webhook's limits go.
    pub(super) fn may_run(&self) -> bool {
        let max = if self.backoff.is_slow() { 1 } else { self.in_flight_max };
        !self.rests && self.running < max
    }

    pub(super) fn push(&mut self, job: Job) {
        if job.attempts == 0 { &mut self.young } else { &mut self.again }.push_back(job);
    }

    /// Whether the job that is next is a first attempt.
    pub(super) fn first_is_next(&self) -> bool {
        !self.young.is_empty() && (self.again.is_empty() || !self.again_is_next)
    }

    pub(super) fn has_first(&self) -> bool {
        !self.young.is_empty()
    }

    /// The job that is next, or the next first attempt.
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

    /// The webhooks that it is about.
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

    /// True while there is nothing to remember.
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
