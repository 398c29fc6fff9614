//! Replays: what they select, the candidates, and each step.

pub(super) mod candidates;
pub(super) mod runs;
pub(super) mod step;
