//! What happened: events, deliveries, attempts, and how long they are kept.

pub(super) mod attempts;
pub(super) mod deliveries;
pub(super) mod events;
pub(super) mod frozen_request;
pub(super) mod retention;
