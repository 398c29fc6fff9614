//! Creates the deliveries of an event, and the jobs of those that start at once.

use super::ordering_keys::keys_of;
use crate::model::{DeliveryId, Event, Millis, State, WebhookId, reason};
use crate::pipeline::attempt::job::Job;
use crate::pipeline::compiled::webhook::Webhook;
use crate::store::{NewDelivery, NewEvent};

/// Creates the delivery of an event to a matching webhook: started at once if there is room, else pending,
/// or missed if the webhook is disabled.
#[must_use]
pub(crate) fn new_delivery(
    webhook: &Webhook,
    event: &Event,
    now: Millis,
    starts_now: impl Fn(WebhookId) -> bool,
) -> NewDelivery {
    let keys = keys_of(webhook, event, now);
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

/// Creates a delivery of an old event: due at once, and exempt from deduplication because the repeat is
/// intended. It queues behind the deliveries with its order key.
#[must_use]
pub fn replayed_delivery(webhook: &Webhook, event: &Event, now: Millis) -> NewDelivery {
    let mut delivery = new_delivery(webhook, event, now, |_| false);
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
