//! Replays: what they select, the candidates, and each step.

pub(super) mod replay_candidates;
pub(super) mod replay_step;
pub(super) mod runs;
