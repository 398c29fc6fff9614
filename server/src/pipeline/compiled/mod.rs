//! Configuration made ready to use: tenants, webhooks and profiles as they stand in memory.

pub(super) mod facet_values;
pub mod profile;
pub mod subscription;
pub mod tenant;
pub mod variables;
pub mod webhook;
