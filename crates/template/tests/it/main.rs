//! The engine from outside: places, errors, helpers, and what the proof promises.

mod documented;
mod errors;
mod places;
mod promises;
#[cfg(test)]
mod support;
