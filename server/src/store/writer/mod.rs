//! Group commit: accepted events and records of attempts share transactions.

pub(super) mod accept;
pub(super) mod commit;
pub(super) mod gather;
pub(super) mod idempotency;
pub(super) mod record;
pub(super) mod tell;
