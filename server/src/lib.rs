//! Antar, a webhook server: accepts events, applies rules and plugins, and delivers them to webhooks.
//!
//! [`run`] is the whole server as a function. See `ARCHITECTURE.md` for the map.

pub mod app;
mod budget;
pub mod cli;
pub mod clock;
pub mod config;
mod content_coding;
pub mod data_folder;
mod exact_json;
pub mod fault;
pub mod http;
pub mod live_stream;
mod media_type;
pub mod model;
pub mod pipeline;
pub mod plugin;
pub mod registry;
pub mod rejections;
pub mod replay;
pub mod retention;
pub mod seal;
pub mod server;
pub mod store;
pub mod work_pool;
pub mod worker;
mod yaml;

pub use model::DEFAULT_TENANT;
pub use server::{run, run_in};
