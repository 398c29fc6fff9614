//! Events come in: parsed, refused, routed, forgotten.

mod incoming;
mod intake;
mod retention;
mod routing;
