//! The engine from outside: places, errors, helpers, and what the proof promises.

mod errors;
mod places;
mod support;
