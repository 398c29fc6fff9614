//! Creates the deliveries of an event, and the jobs of those that start at once.

use std::sync::Arc;

use antar_json::{OutOfSteps, Steps};

use super::ordering_keys::keys_of;
use crate::model::{DeliveryId, Event, Millis, State, WebhookId, reason};
use crate::pipeline::attempt::job::Job;
use crate::pipeline::compiled::webhook::Webhook;
use crate::store::{Keys, NewDelivery, NewEvent};

/// A webhook that gets a delivery of an event.
pub(crate) struct Target {
    webhook: Arc<Webhook>,
    keys: Option<Box<Keys>>,
    /// Whether it wants the event, or the keys of the delivery, would take too many steps to tell.
    undecided: bool,
}

impl Target {
    pub(crate) fn wanted(webhook: Arc<Webhook>, keys: Option<Box<Keys>>) -> Target {
        Target { webhook, keys, undecided: false }
    }

    pub(crate) fn webhook(&self) -> &Webhook {
        &self.webhook
    }

    pub(crate) fn undecided(webhook: Arc<Webhook>) -> Target {
        Target { webhook, keys: None, undecided: true }
    }
}

/// Creates the delivery of an event to a target: started at once if there is room, else pending, missed if
/// the webhook is disabled, or failed if it is undecided.
#[must_use]
pub(crate) fn new_delivery(
    target: Target,
    now: Millis,
    starts_now: impl Fn(WebhookId) -> bool,
) -> NewDelivery {
    let Target { webhook, keys, undecided } = target;
    if undecided {
        return undecided_delivery(webhook.id, now);
    }
    let delay_ms = webhook.plan.delay_ms;
    let (state, reason, next_attempt_at) = match webhook.hold_reason() {
        Some(reason @ reason::WEBHOOK_DISABLED) => (State::Missed, Some(reason), None),
        Some(reason) => (State::Pending, Some(reason), None),
        // With keys it can't start here: only the database can tell whether another delivery with
        // the key is open or came before.
        None if keys.is_none() && delay_ms == 0 && starts_now(webhook.id) => {
            (State::InFlight, None, None)
        }
        None => (State::Pending, None, Some(now.plus_ms(delay_ms))),
    };
    NewDelivery {
        id: DeliveryId::new(now),
        webhook_id: webhook.id,
        state,
        reason: reason.map(ToOwned::to_owned),
        next_attempt_at,
        keys,
    }
}

/// A delivery that was never decided upon: it is not sent, but explained, and can be replayed.
#[must_use]
pub fn undecided_delivery(webhook_id: WebhookId, now: Millis) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::new(now),
        webhook_id,
        state: State::Failed,
        reason: Some(reason::BUDGET_EXCEEDED.to_owned()),
        next_attempt_at: None,
        keys: None,
    }
}

/// Creates a delivery of an old event: due at once, and exempt from deduplication because the repeat is
/// intended. It queues behind the deliveries with its order key.
#[must_use]
pub fn replayed_delivery(
    webhook: &Arc<Webhook>,
    event: &Event,
    now: Millis,
    steps: &Steps,
) -> NewDelivery {
    let target = match keys_of(webhook, event, now, steps) {
        Ok(keys) => Target::wanted(webhook.clone(), keys),
        Err(OutOfSteps) => Target::undecided(webhook.clone()),
    };
    let mut delivery = new_delivery(target, now, |_| false);
    delivery.next_attempt_at = delivery.next_attempt_at.map(|_| now);
    if let Some(keys) = &mut delivery.keys {
        keys.dedupe = None;
    }
    delivery
}

/// Earliest due time of the deliveries that their webhook delays, orders or deduplicates.
pub(crate) fn waits_until(new: &NewEvent) -> Option<Millis> {
    let wished = |d: &&NewDelivery| d.keys.is_some() || d.next_attempt_at > Some(new.accepted_at);
    new.deliveries.iter().filter(wished).filter_map(|d| d.next_attempt_at).min()
}

/// The webhooks for which deliveries of the event are held.
pub(crate) fn held_in(new: &NewEvent) -> impl Iterator<Item = WebhookId> {
    let held = |d: &&NewDelivery| d.state == State::Pending && d.next_attempt_at.is_none();
    new.deliveries.iter().filter(held).map(|delivery| delivery.webhook_id)
}

pub(crate) fn jobs_of(new: &NewEvent) -> Vec<Job> {
    let starting = new.deliveries.iter().filter(|delivery| delivery.state == State::InFlight);
    starting
        .map(|delivery| Job::first(delivery.id, delivery.webhook_id, new.event.clone()))
        .collect()
}
