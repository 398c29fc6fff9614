//! One HTTP request to an address that was checked.

pub mod address;
pub(super) mod connect;
pub mod deliver;
pub(super) mod names;
pub mod watch;
