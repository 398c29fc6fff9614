//! Commands that open the data folder or read the configuration, without a server.

pub(super) mod config;
pub(super) mod migrate;
pub(super) mod options;
