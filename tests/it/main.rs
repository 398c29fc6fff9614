//! The suite: Antar's behaviour through its public API, on SQLite and on PostgreSQL.
//!
//! A test is ten lines of intent. What it needs to say them is in `antar-harness`.

mod crash;
mod crm;
mod errors;
mod failing;
mod faults;
mod golden;
mod incoming;
mod intake;
mod isolation;
mod keys;
mod limits;
mod listen;
mod nodes;
mod ordering;
mod plugin_languages;
mod plugin_tooling;
mod plugins;
mod preview;
mod readme;
mod receivers;
mod recovery;
mod replays;
mod retention;
mod retries;
mod routing;
mod schedules;
mod scripts;
mod secrets;
mod signing;
mod simulation;
mod templates;
mod upgrades;
mod webhooks;
