//! Events come in: parsed, refused, routed, forgotten.

mod bodies;
mod connections;
mod fanout;
pub(crate) mod incoming;
mod intake;
mod loops;
mod retention;
mod routing;
mod sources;
