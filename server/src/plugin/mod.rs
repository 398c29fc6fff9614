//! The host of plugins: WASM components that see one event and one config, and nothing else.
//!
//! Everything a guest may do is what `guest::Guest`, the state of its store, offers: writing log
//! lines, up to a bound. There are no files, no network, no environment, no clock and no
//! randomness. Every call runs in a fresh instance, so nothing is left from one event to the next.
//! What a call may cost is named in [`Limits`].
//!
//! This module knows nothing of the rest of the server.

mod bindings;
mod call;
mod engine;
mod guest;
mod limits;
mod outcome;
mod ticker;
mod upload;

pub use call::{Call, CallError, CallReport, Place};
pub use engine::{Host, HostError};
pub use guest::Level;
pub use limits::Limits;
pub use outcome::{Outcome, Replacement};
pub use upload::{ConfigError, Kind, Plugin, UploadError};

#[cfg(test)]
mod tests;
