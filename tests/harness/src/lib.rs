//! Harness of Antar's integration tests.
//!
//! A [`TestServer`] is the whole server in this process, on SQLite or PostgreSQL, with typed calls;
//! a [`BinaryServer`] is the real binary, which a test can kill. A [`Receiver`] is a real HTTP
//! server that records requests byte for byte and answers as a test configures it.
//! [`on_both_databases!`] turns one test into two. [`verify`] checks signatures with code of its
//! own.
//!
//! Nothing here sleeps for a fixed time: tests wait for a condition with a deadline, or move a
//! [`ManualClock`].

mod api;
mod binary;
mod client;
mod connection;
pub mod crash;
mod database;
mod deadline;
mod dice;
mod disk;
mod name_server;
mod proxy;
mod receiver;
mod reply;
mod request;
mod server;
pub mod simulation;
pub mod verify;
mod wire;

pub use antar::clock::ManualClock;
pub use api::{Api, Delivery, Webhook};
pub use binary::{BinaryServer, binary};
pub use client::{Answer, Call};
pub use connection::Connection;
pub use database::{Database, FromDatabase};
pub use deadline::{DEADLINE, eventually};
pub use disk::Disk;
pub use name_server::{NameServer, Resolved};
pub use proxy::Proxy;
pub use receiver::{Door, Receiver};
pub use reply::Reply;
pub use request::Request;
pub use server::{Builder, TestServer};
pub use wire::{Wire, WireAnswer};

/// The repository's root.
#[must_use]
pub fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Generates two tests from each: `name::sqlite` and `name::postgres`. The argument is a
/// [`TestServer`], started, or a [`Database`] to start servers on.
#[macro_export]
macro_rules! on_both_databases {
    ($($(#[$meta:meta])* async fn $name:ident($argument:ident: $type:ty) $body:block)+) => {$(
        mod $name {
            use super::*;

            $(#[$meta])*
            async fn test($argument: $type) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let database = $crate::Database::sqlite();
                test(<$type as $crate::FromDatabase>::from_database(database).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let Some(database) = $crate::Database::postgres().await else { return };
                test(<$type as $crate::FromDatabase>::from_database(database).await).await;
            }
        }
    )+};
}
