//! Deliveries: the resource, the live stream, and replays.

pub(super) mod listen;
pub(super) mod replays;
pub(super) mod resource;
