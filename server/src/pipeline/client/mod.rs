//! The HTTP client of deliveries: address policy, DNS cache, connections, and timing of requests.

pub mod address;
pub(super) mod connect;
pub(super) mod dns_cache;
pub mod send;
pub mod timing;
