//! How the database is reached.

use std::time::Duration;

use super::simulated_latency::Pace;

/// How the database is reached, and the bounds of what waits for it.
#[derive(Clone)]
pub struct Settings {
    /// `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST/DATABASE` (without TLS).
    pub url: String,
    /// The node's id, a UUID.
    pub node: String,
    /// Connections for reading; on PostgreSQL also for changes of the configuration.
    pub readers_max: usize,
    /// Longest wait for one of them before a call fails.
    pub reader_wait_ms: u64,
    /// Events, deliveries and records that share one transaction. A single call may bring more.
    pub commit_batch_max: usize,
    /// How long SQLite's writer waits for more writes while many come.
    pub commit_wait: Duration,
    /// Longest wait of a record that can wait for others to share its transaction with.
    pub record_wait: Duration,
    /// Calls that may wait for the next transaction; one more gets `Busy`.
    pub commit_queue_max: usize,
    /// Longest wait for PostgreSQL: for a new connection, and for the statements of a transaction.
    pub answer_timeout: Duration,
    /// How long SQLite waits for a lock that another process holds.
    pub busy_timeout_ms: u32,
    /// Simulates SQLite: on the caller's thread, at this pace, and not durable.
    pub pace: Option<Pace>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            url: String::new(),
            node: String::new(),
            readers_max: 8,
            reader_wait_ms: 10_000,
            answer_timeout: Duration::from_secs(10),
            commit_batch_max: 256,
            commit_wait: Duration::from_micros(500),
            record_wait: Duration::from_millis(20),
            commit_queue_max: 4_096,
            busy_timeout_ms: 5_000,
            pace: None,
        }
    }
}
