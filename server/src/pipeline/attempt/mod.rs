//! From a stored event to what is recorded of one try: transform, render, sign, and the decision
//! about what comes next. Values in, values out; only `transform` waits, for plugins.

pub mod backoff;
mod header_list;
pub mod health;
pub mod job;
pub(super) mod outcome;
pub mod prepare;
pub(super) mod receiver_hints;
pub mod render;
pub mod retry;
pub mod secrets;
pub mod sign;
pub(super) mod success;
pub mod transform;
