//! Collects the events of one request, with their deliveries, before the commit.

use super::learn_facets::Learned;
use crate::config::IntakeConfig;
use crate::model::{Event, Invalid};
use crate::store::NewEvent;

/// Events and deliveries of a request, to be committed together.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<NewEvent>,
    /// Deliveries of all events together.
    pub(crate) deliveries: usize,
    /// Bytes of the data of all events together.
    bytes: usize,
    pub(crate) learned: Vec<Learned>,
}

impl Batch {
    pub(crate) fn push(&mut self, new: NewEvent) {
        self.deliveries += new.deliveries.len();
        self.bytes += new.event.data().raw().len();
        self.events.push(new);
    }

    /// Whether there is room for what intake plugins made of one event: they may multiply what was posted.
    pub(crate) fn has_room(&self, events: &[Event], limits: &IntakeConfig) -> Result<(), Invalid> {
        let count = self.events.len() + events.len();
        let bytes = self.bytes + events.iter().map(|event| event.data().raw().len()).sum::<usize>();
        let (count_max, bytes_max) = (limits.made_events_max, limits.made_bytes_max);
        if count > count_max {
            let detail = format!(
                "would bring the events of the request to {count}, {count_max} are allowed (intake.made_events_max)"
            );
            return Err(Invalid::at("", detail));
        }
        if bytes > bytes_max {
            let detail = format!(
                "would bring the data of the request's events to {bytes} bytes, {bytes_max} are allowed \
                 (intake.made_bytes_max)"
            );
            return Err(Invalid::at("", detail));
        }
        Ok(())
    }

    /// Removes the events from `first` on, because their draft was refused.
    pub(crate) fn take_back(&mut self, first: usize) {
        for new in self.events.drain(first..) {
            self.deliveries -= new.deliveries.len();
            self.bytes -= new.event.data().raw().len();
        }
    }
}
