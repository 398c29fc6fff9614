//! From a stored event to what is recorded of one try: transform, render, sign, and the decision
//! about what comes next. Values in, values out; only `transform` waits, for plugins.

pub(super) mod asks;
pub mod health;
pub(super) mod judge;
pub(super) mod outcome;
pub mod prepare;
pub mod render;
pub mod retry;
pub mod secrets;
pub mod sign;
pub mod tempo;
pub mod transform;
