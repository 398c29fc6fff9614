//! What the events of one request become before the commit.

use super::facets::Learned;
use crate::store::NewEvent;

/// What a request becomes on its way to the commit.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) events: Vec<NewEvent>,
    /// Of all events together.
    pub(super) deliveries: usize,
    pub(super) learned: Vec<Learned>,
}

impl Batch {
    pub(super) fn push(&mut self, new: NewEvent) {
        self.deliveries += new.deliveries.len();
        self.events.push(new);
    }

    /// Drops the events from `first` on: their draft was refused after all.
    pub(super) fn take_back(&mut self, first: usize) {
        let refused = self.events.drain(first..);
        self.deliveries -= refused.map(|new| new.deliveries.len()).sum::<usize>();
    }
}
