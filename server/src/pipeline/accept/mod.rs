//! Accepts events, from posted bytes to the commit: parsing, intake plugins, schemas, new deliveries.

pub(super) mod answers;
pub(super) mod batch;
pub mod call;
pub mod call_answer;
pub mod call_text;
pub mod cloudevents;
pub mod compile_source;
pub(super) mod event_schema;
pub mod intake;
pub(super) mod intake_plugins;
pub mod learn_facets;
pub mod loops;
pub(super) mod multipart;
pub(super) mod new_deliveries;
pub mod operator_event;
pub(super) mod ordering_keys;
pub(super) mod route;
pub mod source;
pub mod verify;
