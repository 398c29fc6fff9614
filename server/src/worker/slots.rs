//! Limits the running attempts, with separate slots for quick and slow ones. An attempt that runs long moves
//! to a slow slot, and later attempts of its lane start in slow slots until the lane is quick again. A
//! hanging receiver thus costs a socket, but no slot that other receivers need.

use std::collections::{HashMap, VecDeque};

use super::lane_key::LaneKey;
use crate::config::DeliveryConfig;
use crate::model::Millis;

/// A running attempt.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) lane: LaneKey,
    number: u64,
    started_at: Millis,
    /// Places in memory that the job takes until it is done.
    pub(super) places: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Quick,
    Slow,
}

/// All slots and the attempts that occupy them.
pub(super) struct Slots {
    quick_max: usize,
    /// Quick slots reserved for first attempts.
    first_only: usize,
    slow_max: usize,
    slow_after_ms: i64,
    quick: usize,
    slow: usize,
    under_way: HashMap<u64, Place>,
    /// Recently started quick attempts, oldest first; some have ended.
    lately: VecDeque<Ticket>,
    /// Attempts that ran long while all slow slots were taken, and keep a quick slot.
    stuck: VecDeque<u64>,
    numbers: u64,
}

impl Slots {
    pub(super) fn new(config: &DeliveryConfig) -> Slots {
        Slots {
            quick_max: config.in_flight_max,
            first_only: config.in_flight_max / 4,
            slow_max: config.slow_in_flight_max,
            slow_after_ms: i64::try_from(config.slow_after_ms).unwrap_or(i64::MAX),
            quick: 0,
            slow: 0,
            under_way: HashMap::new(),
            lately: VecDeque::new(),
            stuck: VecDeque::new(),
            numbers: 0,
        }
    }

    pub(super) fn running(&self) -> usize {
        self.quick + self.slow
    }

    /// Free slots for a slow or a quick lane; `first`: for first attempts.
    pub(super) fn room(&self, slow: bool, first: bool) -> usize {
        match (slow, first) {
            // The other half is for attempts not yet known to be slow, which would otherwise stay in quick
            // slots.
            (true, _) => self.slow_max.div_ceil(2).saturating_sub(self.slow),
            (false, true) => self.quick_max.saturating_sub(self.quick),
            (false, false) => {
                self.quick_max.saturating_sub(self.first_only).saturating_sub(self.quick)
            }
        }
    }

    pub(super) fn start(
        &mut self,
        lane: LaneKey,
        slow: bool,
        places: usize,
        now: Millis,
    ) -> Ticket {
        self.numbers += 1;
        let ticket = Ticket { lane, number: self.numbers, started_at: now, places };
        if slow {
            self.slow += 1;
            self.under_way.insert(ticket.number, Place::Slow);
        } else {
            self.quick += 1;
            self.under_way.insert(ticket.number, Place::Quick);
            self.lately.push_back(ticket.clone());
        }
        ticket
    }

    /// Frees the slot. True: the attempt was quick.
    pub(super) fn end(&mut self, ticket: &Ticket, now: Millis) -> bool {
        match self.under_way.remove(&ticket.number) {
            Some(Place::Quick) => self.quick -= 1,
            Some(Place::Slow) => {
                self.slow -= 1;
                self.move_stuck();
            }
            None => {}
        }
        now < ticket.started_at.plus_ms(self.slow_after_ms)
    }

    /// Moves one stuck attempt from its quick slot to the slow slot that was freed.
    fn move_stuck(&mut self) {
        while let Some(number) = self.stuck.pop_front() {
            if let Some(place) = self.under_way.get_mut(&number) {
                *place = Place::Slow;
                self.quick -= 1;
                self.slow += 1;
                return;
            }
        }
    }

    /// Moves attempts that run long to slow slots, and returns their lanes. While all slow slots are taken,
    /// such an attempt keeps its quick slot.
    pub(super) fn age(&mut self, now: Millis) -> Vec<LaneKey> {
        let mut slow_lanes = Vec::new();
        while let Some(oldest) = self.lately.front() {
            if oldest.started_at.plus_ms(self.slow_after_ms) > now {
                break;
            }
            let Some(ticket) = self.lately.pop_front() else { break };
            let Some(place) = self.under_way.get_mut(&ticket.number) else { continue };
            if self.slow < self.slow_max {
                *place = Place::Slow;
                self.quick -= 1;
                self.slow += 1;
            } else {
                self.stuck.push_back(ticket.number);
            }
            slow_lanes.push(ticket.lane);
        }
        slow_lanes
    }

    /// The clock was set back: shifts start times with it.
    pub(super) fn set_back(&mut self, by_ms: i64) {
        for ticket in &mut self.lately {
            ticket.started_at = ticket.started_at.plus_ms(-by_ms);
        }
    }

    /// When `age` may have an attempt to move.
    pub(super) fn age_at(&self) -> Option<Millis> {
        Some(self.lately.front()?.started_at.plus_ms(self.slow_after_ms))
    }
}
