//! The plugin host. Plugins are WASM components that see one event and one config, nothing else.
//!
//! A guest can do only what `guest::Guest`, the state of its store, offers: write log lines, up to
//! a bound. There are no files, no network and no environment; clock and randomness derive from the
//! event (`empty_world`). Every call runs in a fresh instance, so no state carries over from one
//! event to the next. [`Limits`] bounds the cost of a call.
//!
//! This module depends on nothing else in the server.

mod bindings;
mod cache;
mod call;
mod call_breaker;
mod call_metrics;
mod callable;
mod compile;
mod config_check;
mod empty_world;
mod engine;
mod epoch_ticker;
mod guest;
mod inspection;
mod limits;
mod outcome;
mod overrides;
mod pool;
mod rewrite;
mod shares;
mod upload;

pub use call::{Call, CallError, CallReport, Place};
pub use call_breaker::Pause;
pub use callable::{ConfigError, Kind, Plugin};
pub use compile::CompileIn;
pub use compile::child::{COMMAND as COMPILE_COMMAND, main as compile_main};
pub use compile::turns::Turn;
pub use engine::{Host, HostError, Now};
pub use guest::Level;
pub use inspection::Inspection;
pub use limits::Limits;
pub use outcome::{Outcome, Replacement};
pub use overrides::Override;
pub use pool::PoolName;
pub use upload::{Known, Owner, Taken, UploadError};

/// Reads an upload as the server does before another process compiles it, and rewrites it as that one does. For
/// tests that try out any bytes.
#[doc(hidden)]
pub fn inspect(wasm: &[u8]) -> Result<Inspection, UploadError> {
    let seen = inspection::at_first_sight(wasm);
    inspection::sizes::check(wasm, &Limits::default())?;
    rewrite::rewritten(wasm, rewrite::Room::Ample);
    if rewrite::can_be_tight(wasm) {
        rewrite::rewritten(wasm, rewrite::Room::Tight);
    }
    seen
}

#[cfg(test)]
mod tests;
