//! Questions about an event: what would happen to it, what did, and why not.

pub mod diff;
pub mod explain;
pub mod preview;
pub mod test_hook;
