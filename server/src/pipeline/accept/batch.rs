//! Collects the events of one request, with their deliveries, before the commit.

use std::sync::Arc;

use super::learn_facets::Learned;
use crate::config::IntakeConfig;
use crate::model::{Event, FieldError, Invalid};
use crate::store::NewEvent;

/// Events and deliveries of a request, to be committed together.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<NewEvent>,
    /// Deliveries of all events together.
    pub(crate) deliveries: usize,
    /// Bytes of the data of all events together.
    bytes: usize,
    /// Size of each event times its deliveries, summed up.
    fanout_bytes: usize,
    pub(crate) learned: Vec<Learned>,
}

impl Batch {
    /// Why an event with so many deliveries does not fit in.
    pub(crate) fn refusal(
        &self,
        event: &Event,
        deliveries: usize,
        limits: &IntakeConfig,
    ) -> Option<Invalid> {
        let (sum, max) = (self.deliveries + deliveries, limits.deliveries_max);
        if sum > max {
            let detail = format!(
                "would bring the request's deliveries to {sum}, {max} are allowed \
                 (intake.deliveries_max)"
            );
            return Some(Invalid::at("", detail));
        }
        let bytes = fanout_bytes(event, deliveries);
        let (sum, max) = (self.fanout_bytes.saturating_add(bytes), limits.fanout_bytes_max);
        (sum > max).then(|| {
            let detail = format!(
                "has {} bytes and {deliveries} deliveries, which would bring the request to {sum} bytes; {max} are \
                 allowed (intake.fanout_bytes_max)",
                event.document.text().len()
            );
            Invalid { code: "fanout_too_large", errors: vec![FieldError::new("", detail)] }
        })
    }

    pub(crate) fn push(&mut self, new: NewEvent) {
        self.deliveries += new.deliveries.len();
        self.bytes += new.event.data().raw().len();
        self.fanout_bytes += fanout_bytes(&new.event, new.deliveries.len());
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
        for refused in self.events.drain(first..) {
            self.deliveries -= refused.deliveries.len();
            self.bytes -= refused.event.data().raw().len();
            self.fanout_bytes -= fanout_bytes(&refused.event, refused.deliveries.len());
        }
    }

    /// The events of the whole request, each of which knows how many deliveries there are. Up to `few` deliveries
    /// send too little to matter: then each event counts its own, which need not be stored.
    pub(crate) fn complete(mut self, few: usize) -> (Vec<NewEvent>, Vec<Learned>) {
        let count = |deliveries: usize| u32::try_from(deliveries).unwrap_or(u32::MAX);
        let of_all = (self.deliveries > few).then(|| count(self.deliveries));
        for new in &mut self.events {
            // Nobody else has it yet.
            if let Some(event) = Arc::get_mut(&mut new.event) {
                event.fanout = of_all.unwrap_or_else(|| count(new.deliveries.len()));
            }
        }
        (self.events, self.learned)
    }
}

/// What the deliveries of an event send, if each sends it as it is.
fn fanout_bytes(event: &Event, deliveries: usize) -> usize {
    event.document.text().len().saturating_mul(deliveries)
}
