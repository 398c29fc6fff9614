//! Host names to addresses, for tenants that must not wait for each other.

pub(super) mod cache;
mod hosts;
mod lookup_turns;
mod name_servers;
