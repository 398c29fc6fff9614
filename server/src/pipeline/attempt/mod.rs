//! One attempt of a delivery, from the stored event to the record: transform, render, sign, the retry
//! decision, and the health of the receiver. Values in, values out; only `transform` awaits plugins.

pub mod backoff;
mod header_list;
pub mod health;
pub mod job;
pub(super) mod no_request;
pub(super) mod outcome;
pub mod prepare;
pub mod receiver_hints;
pub mod render;
pub mod request_memory;
pub mod retry;
pub mod secrets;
pub mod sign;
pub(super) mod size;
pub(super) mod success;
pub mod transform;
