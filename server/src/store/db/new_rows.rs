//! What is to be stored of an event and its deliveries, and what became of it.

use std::sync::Arc;

use crate::model::{DeliveryId, Event, Millis, State, WebhookId};

/// A node in one of its lives. It owns the deliveries that are in flight there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Owner {
    pub node: String,
    pub epoch: i64,
}

/// A delivery as routing made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewDelivery {
    pub id: DeliveryId,
    pub webhook_id: WebhookId,
    /// `InFlight` (then the event's `owner` owns it), `Pending` or `Missed`.
    pub state: State,
    pub reason: Option<String>,
    /// Counts for `Pending` only; none: held.
    pub next_attempt_at: Option<Millis>,
    /// None where the webhook asks for no keys, or the event has none.
    pub keys: Option<Box<Keys>>,
}

/// By what a delivery is kept apart from others of its webhook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    pub order: Option<OrderKey>,
    /// The key, and since when another delivery with it makes this one a duplicate.
    pub dedupe: Option<(String, Millis)>,
}

/// What keeps deliveries in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderKey {
    pub key: String,
    /// Failed attempts after which it holds those behind it back no longer.
    pub gives_way_attempts: u32,
}

/// An event to be made durable, with its deliveries.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub event: Arc<Event>,
    pub deliveries: Vec<NewDelivery>,
    /// A plugin dropped it at intake: id, type and this are stored, the data and attributes not.
    pub dropped_reason: Option<String>,
    pub accepted_at: Millis,
    pub owner: Owner,
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The tenant has an event of this id and source; nothing was stored.
    pub duplicate: bool,
    /// How many deliveries it (or the first of its id) has.
    pub deliveries: u32,
}
