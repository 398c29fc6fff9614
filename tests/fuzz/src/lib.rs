//! Any bytes for every parser of outside input.
//!
//! Each [`Target`] reads what strangers write: events, rules, uploads, calls, URLs, and so on. A case is an input
//! made from a seed and a number: a valid one that is damaged, or a new one that is valid or nearly so. The parser
//! may refuse it. It must not panic, nor keep more memory in use than a multiple of the input's length, nor run for
//! more than seconds, and what it takes must keep the promises that the target names.
//!
//! [`runner`] runs cases in processes of their own, so that a stack that overflows and a loop that does not end are
//! findings like a panic. [`growth`] counts how much work inputs of one, four and sixteen times a size cause.

pub mod allocations;
mod case;
mod dice;
pub mod grow;
pub mod growth;
mod mutate;
mod regions;
pub mod runner;
mod seeds;
mod shrink;
mod targets;
pub mod worker;

pub use dice::Dice;
pub use regions::COUNTED;
pub use targets::{ALL, Target, named};
