//! Configuration resources of tenants and of the operator, other than webhooks.

pub(super) mod event_types;
pub(super) mod facets;
pub(super) mod keys;
pub(super) mod plugins;
pub(super) mod profiles;
pub(super) mod secrets;
pub(super) mod sources;
pub(super) mod tenants;
