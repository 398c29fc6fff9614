//! Collects the events of one request, with their deliveries, before the commit.

use super::learn_facets::Learned;
use crate::store::NewEvent;

/// Events and deliveries of a request, to be committed together.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<NewEvent>,
    /// Deliveries of all events together.
    pub(crate) deliveries: usize,
    pub(crate) learned: Vec<Learned>,
}

impl Batch {
    pub(crate) fn push(&mut self, new: NewEvent) {
        self.deliveries += new.deliveries.len();
        self.events.push(new);
    }

    /// Removes the events from `first` on, because their draft was refused.
    pub(crate) fn take_back(&mut self, first: usize) {
        let refused = self.events.drain(first..);
        self.deliveries -= refused.map(|new| new.deliveries.len()).sum::<usize>();
    }
}
