//! Deliveries as they are made, and as work for this node.

use std::sync::Arc;

use super::webhook::Webhook;
use crate::model::{DeliveryId, Event, Frozen, Millis, State, WebhookId, reason};
use crate::store::{NewDelivery, NewEvent};

/// A delivery that this node owns.
#[derive(Clone)]
pub struct Job {
    pub delivery_id: DeliveryId,
    pub webhook_id: WebhookId,
    pub event: Arc<Event>,
    /// Attempts made so far.
    pub attempts: u32,
    /// Those of them that the schedule does not count: it was begun anew by hand after them.
    pub schedule_start: u32,
    pub frozen: Option<Frozen>,
}

impl Job {
    /// The first attempt of a new delivery.
    #[must_use]
    pub fn first(delivery: &NewDelivery, event: Arc<Event>) -> Job {
        Job {
            delivery_id: delivery.id,
            webhook_id: delivery.webhook_id,
            event,
            attempts: 0,
            schedule_start: 0,
            frozen: None,
        }
    }
}

/// A delivery of a wanted event: started at once where there is room, else kept for later.
#[must_use]
pub fn new_delivery(
    webhook: &Webhook,
    now: Millis,
    starts_now: impl Fn(WebhookId) -> bool,
) -> NewDelivery {
    let (state, reason, next_attempt_at) = match webhook.hold_reason() {
        Some(reason @ reason::WEBHOOK_DISABLED) => (State::Missed, Some(reason), None),
        Some(reason) => (State::Pending, Some(reason), None),
        None if starts_now(webhook.id) => (State::InFlight, None, None),
        None => (State::Pending, None, Some(now)),
    };
    NewDelivery {
        id: DeliveryId::new(now),
        webhook_id: webhook.id,
        state,
        reason: reason.map(ToOwned::to_owned),
        next_attempt_at,
    }
}

/// The webhooks that an event's deliveries are held for.
pub(super) fn held_in(new: &NewEvent) -> impl Iterator<Item = WebhookId> {
    let held = |d: &&NewDelivery| d.state == State::Pending && d.next_attempt_at.is_none();
    new.deliveries.iter().filter(held).map(|delivery| delivery.webhook_id)
}

pub(super) fn jobs_of(new: &NewEvent) -> Vec<Job> {
    let starting = new.deliveries.iter().filter(|delivery| delivery.state == State::InFlight);
    starting.map(|delivery| Job::first(delivery, new.event.clone())).collect()
}
