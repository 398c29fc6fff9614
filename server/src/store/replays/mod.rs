//! Replays: what they select, the candidates, and each step.

pub(super) mod candidates;
pub(super) mod runs;
pub(super) mod step;

use super::db::database::Database;

/// Replays, and what they make.
#[derive(Clone)]
pub struct Replays {
    db: Database,
}

impl Replays {
    pub(super) fn new(db: Database) -> Replays {
        Replays { db }
    }
}
