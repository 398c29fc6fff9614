//! What happened: events, deliveries, attempts, and how long they are kept.

pub(super) mod attempts;
pub(super) mod deliveries;
pub(super) mod events;
pub(super) mod frozen_request;
pub(super) mod retention;

use super::db::database::Database;

/// Events, deliveries and attempts as they happened.
#[derive(Clone)]
pub struct History {
    db: Database,
}

impl History {
    pub(super) fn new(db: Database) -> History {
        History { db }
    }
}
