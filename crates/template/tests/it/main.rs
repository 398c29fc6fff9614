//! The engine from outside: places, errors, helpers, and what the proof promises.

#[path = "../cases/mod.rs"]
mod cases;
mod causes;
mod documented;
mod errors;
mod fuzzed;
mod loops;
mod places;
mod promises;
#[cfg(test)]
mod support;
mod written_out;
