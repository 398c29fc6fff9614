//! Deliveries go out: retried, ordered, signed, replayed, listened to.

mod answers;
mod connections;
mod failing;
pub(crate) mod golden;
mod listen;
mod memory;
mod names;
mod ordering;
mod receivers;
mod replays;
mod retries;
mod schedules;
mod signing;
