//! Which delivery is next: claims, due times, ordering, leases, and changes of state by hand.

pub(super) mod bulk;
pub(super) mod by_hand;
pub(super) mod claim;
pub(super) mod clock_back;
pub(super) mod due;
pub(super) mod failing;
pub(super) mod nodes;
pub(super) mod ordered;
pub(super) mod unsure;
