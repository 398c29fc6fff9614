//! Group commit: accepted events and records of attempts share transactions.

pub(super) mod accept;
pub(super) mod batch_window;
pub(super) mod commit;
pub(super) mod completion;
pub(super) mod idempotency;
pub(super) mod record;
