//! The suite: Antar's behaviour through its public API, on SQLite and on PostgreSQL.
//!
//! A test is ten lines of intent. What it needs to say them is in `antar-harness`.

mod configuration;
mod delivery;
mod durability;
mod events;
mod guides;
mod plugins;
