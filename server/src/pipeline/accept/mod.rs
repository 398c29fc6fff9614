//! From posted bytes to what is committed: parsing, intake plugins, schemas, new deliveries.

pub(super) mod answers;
pub(super) mod batch;
pub mod cloudevents;
pub mod facets;
pub mod intake;
pub(super) mod intake_plugins;
pub(super) mod job;
pub(super) mod keys;
pub mod notice;
pub(super) mod schema;
pub mod source;
