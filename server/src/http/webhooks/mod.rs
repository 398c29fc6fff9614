//! Webhooks: the resource, and actions on it.

pub(super) mod actions;
pub(super) mod bulk;
pub(super) mod explain;
pub(super) mod preview;
pub(super) mod resource;
