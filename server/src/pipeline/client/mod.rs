//! The HTTP client of deliveries: address policy, host names, connections, and timing of requests.

pub mod address;
mod connect;
mod connection;
mod connection_pool;
mod dns;
mod exchange;
mod metered;
pub mod request;
pub mod send;
mod target;
pub mod timing;
