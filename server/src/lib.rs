//! Antar, a webhook server.

pub mod plugin;
