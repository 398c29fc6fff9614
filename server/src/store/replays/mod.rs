//! Stored replays: their rows, candidates and steps.

pub(super) mod candidates;
pub(super) mod listed;
pub(super) mod runs;
pub(super) mod step;

use super::db::database::Database;

/// Replays, and the deliveries they create.
#[derive(Clone)]
pub struct Replays {
    db: Database,
}

impl Replays {
    pub(super) fn new(db: Database) -> Replays {
        Replays { db }
    }
}
