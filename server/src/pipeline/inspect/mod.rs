//! Inspection of events and webhooks: previews, test requests, explanations and diffs.

pub mod diff;
pub mod explain;
pub mod preview;
pub mod test_hook;
