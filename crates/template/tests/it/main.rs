//! Tests of the engine's public interface: places, errors, helpers, and the guarantees of the proof.

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
