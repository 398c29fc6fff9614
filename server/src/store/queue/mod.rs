//! The queue of deliveries: claims, due times, ordering, leases, and state changes by hand.

pub(super) mod bulk;
pub(super) mod claim;
pub(super) mod claim_limits;
pub(super) mod clock_set_back;
pub(super) mod due;
pub(super) mod failing;
pub(super) mod nodes;
pub(super) mod ordering;
pub(super) mod releases;
pub(super) mod state_changes;
pub(super) mod unknown_outcome;

use self::claim::UnknownClaims;
use self::due::ScanProgress;
use super::db::database::Database;

/// Waiting deliveries, and the nodes that work on them.
#[derive(Clone)]
pub struct Queue {
    db: Database,
    /// Deliveries that failed claims may have put in flight.
    unknown: UnknownClaims,
    /// How far this node has scanned the order of due deliveries.
    pub(super) progress: ScanProgress,
}

impl Queue {
    pub(super) fn new(db: Database) -> Queue {
        Queue { db, unknown: UnknownClaims::default(), progress: ScanProgress::default() }
    }
}
