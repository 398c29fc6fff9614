//! Events and deliveries to be stored, and the result of storing an event.

use std::sync::Arc;

use crate::model::{DeliveryId, Event, Millis, State, WebhookId};

/// One run of a node, identified by its epoch. It owns the deliveries that are in flight there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Owner {
    pub node: String,
    pub epoch: i64,
}

/// A delivery as created by routing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewDelivery {
    pub id: DeliveryId,
    pub webhook_id: WebhookId,
    /// `InFlight` (then the event's `owner` owns it), `Pending`, `Missed`, or `Failed` (at the stage `route`).
    pub state: State,
    pub reason: Option<String>,
    /// Used for `Pending` only; none: held.
    pub next_attempt_at: Option<Millis>,
    /// None if the webhook uses no keys, or the event has none.
    pub keys: Option<Box<Keys>>,
}

/// Keys that order and deduplicate a delivery among others of its webhook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    pub order: Option<OrderKey>,
    /// The key, and the time since which another delivery with it makes this one a duplicate.
    pub dedupe: Option<(String, Millis)>,
}

/// Deliveries of a webhook with the same key are sent in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderKey {
    pub key: String,
    /// Failed attempts after which the delivery no longer holds back those behind it.
    pub gives_way_attempts: u32,
}

/// An event to be made durable, with its deliveries.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub event: Arc<Event>,
    pub deliveries: Vec<NewDelivery>,
    /// Set if a plugin dropped the event at intake: id, type and this reason are stored, data and
    /// attributes are not.
    pub dropped_reason: Option<String>,
    pub accepted_at: Millis,
    pub owner: Owner,
}

/// Result of storing an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The tenant already has an event with this id and source; nothing was stored.
    pub duplicate: bool,
    /// Number of deliveries of the event, or of the stored event that it duplicates.
    pub deliveries: u32,
}
