//! What the events of one request become before the commit.

use super::learn_facets::Learned;
use crate::store::NewEvent;

/// What a request becomes on its way to the commit.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<NewEvent>,
    /// Of all events together.
    pub(crate) deliveries: usize,
    pub(crate) learned: Vec<Learned>,
}

impl Batch {
    pub(crate) fn push(&mut self, new: NewEvent) {
        self.deliveries += new.deliveries.len();
        self.events.push(new);
    }

    /// Drops the events from `first` on: their draft was refused after all.
    pub(crate) fn take_back(&mut self, first: usize) {
        let refused = self.events.drain(first..);
        self.deliveries -= refused.map(|new| new.deliveries.len()).sum::<usize>();
    }
}
