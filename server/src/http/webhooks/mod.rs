//! Webhooks: the resource, and what is done to one.

pub(super) mod actions;
pub(super) mod bulk;
pub(super) mod explain;
pub(super) mod preview;
pub(super) mod resource;
