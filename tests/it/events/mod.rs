//! Events come in: parsed, refused, routed, forgotten.

mod bodies;
mod connections;
mod incoming;
mod intake;
mod retention;
mod routing;
