//! One HTTP request to an address that was checked.

pub mod address;
pub(super) mod connect;
pub(super) mod dns_cache;
pub mod send;
pub mod timing;
