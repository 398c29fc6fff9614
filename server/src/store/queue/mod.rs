//! Which delivery is next: claims, due times, ordering, leases, and changes of state by hand.

pub(super) mod bulk;
pub(super) mod claim;
pub(super) mod clock_set_back;
pub(super) mod due;
pub(super) mod excluded;
pub(super) mod failing;
pub(super) mod nodes;
pub(super) mod ordering;
pub(super) mod state_changes;
pub(super) mod unknown_outcome;

use self::claim::UnknownClaims;
use self::due::ScanProgress;
use super::db::database::Database;

/// Deliveries that wait, and the nodes that work on them.
#[derive(Clone)]
pub struct Queue {
    db: Database,
    /// What claims that failed may have put in flight.
    unknown: UnknownClaims,
    /// How far this node has come in the order of what is due.
    pub(super) progress: ScanProgress,
}

impl Queue {
    pub(super) fn new(db: Database) -> Queue {
        Queue { db, unknown: UnknownClaims::default(), progress: ScanProgress::default() }
    }
}
