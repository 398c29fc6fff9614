//! Settings of the store.

use std::time::Duration;

use super::simulated_latency::Pace;

/// How to reach the database, and limits on batches, queues and waits.
#[derive(Clone)]
pub struct Settings {
    /// `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST/DATABASE` (without TLS).
    pub url: String,
    /// The node's id, a UUID.
    pub node: String,
    /// Pooled connections: for reads, on PostgreSQL also for writes outside group commit.
    pub readers_max: usize,
    /// Longest wait for a pooled connection before a call fails.
    pub reader_wait_ms: u64,
    /// Events, deliveries and records in one transaction at most; a single call may exceed it.
    pub commit_batch_max: usize,
    /// How long SQLite's writer waits for more jobs under load.
    pub commit_wait: Duration,
    /// Longest delay of a record with `can_wait`, to share a transaction with other jobs.
    pub record_wait: Duration,
    /// Jobs queued for the writer at most; beyond that calls wait.
    pub commit_queue_max: usize,
    /// Longest wait of `accept` for its place in that queue; then it fails with `Busy`.
    pub commit_queue_wait: Duration,
    /// Rows of accepted events that wait for their transaction; a tenant never has more than it leaves to others.
    pub commit_rows_max: usize,
    /// Longest wait for PostgreSQL: for a new connection, and for the statements of a transaction.
    pub answer_timeout: Duration,
    /// How long SQLite waits for a lock that another process holds.
    pub busy_timeout_ms: u32,
    /// Simulated latency, on SQLite: calls run on the caller's thread, at this pace, and are not durable.
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
            commit_queue_wait: Duration::from_secs(5),
            commit_rows_max: 24_000,
            busy_timeout_ms: 5_000,
            pace: None,
        }
    }
}
