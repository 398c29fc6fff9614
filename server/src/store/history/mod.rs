//! History: reads stored events, deliveries and attempts, and removes old ones.

pub(super) mod attempts;
pub(super) mod deliveries;
pub(super) mod events;
pub(super) mod frozen_request;
pub(super) mod listed_events;
pub(super) mod packed_text;
pub(super) mod retention;

use super::db::database::Database;

/// Stored events, deliveries and attempts.
#[derive(Clone)]
pub struct History {
    db: Database,
}

impl History {
    pub(super) fn new(db: Database) -> History {
        History { db }
    }
}
