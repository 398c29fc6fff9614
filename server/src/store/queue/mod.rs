//! Which delivery is next: claims, due times, ordering, leases, and changes of state by hand.

pub(super) mod bulk;
pub(super) mod claim;
pub(super) mod clock_set_back;
pub(super) mod due;
pub(super) mod failing;
pub(super) mod nodes;
pub(super) mod ordering;
pub(super) mod state_changes;
pub(super) mod unknown_outcome;
