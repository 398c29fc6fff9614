//! What is durable: configuration, events, deliveries, attempts; on SQLite or on PostgreSQL.
//!
//! `conn.rs` alone knows which. Every query stands once, in the file of its table. Writes of events
//! and outcomes are collected and committed together (`commit.rs`); on SQLite, where one connection
//! writes, everything else that writes goes the same way. No statement asks the database for the
//! time: "now" is an argument.

mod configuration;
mod db;
mod history;
mod queue;
mod replays;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

pub use configuration::changes::ConfigurationChange;
pub use configuration::event_types::EventTypeRow;
pub use configuration::facets::FacetValueRow;
pub use configuration::plugins::PluginRow;
pub use configuration::profiles::ProfileRow;
pub use configuration::secrets::SecretRow;
pub use configuration::snapshot::Snapshot;
pub use configuration::sources::SourceRow;
pub use configuration::tenants::TenantRow;
pub use configuration::webhooks::{RevisionRow, WebhookRow};
pub use db::error::StoreError;
pub use db::page::Page;
pub use db::simulated_latency::Pace;
pub use history::deliveries::{DeliveryFilter, StoredDelivery};
pub use history::events::{EventFilter, StoredEvent};
pub use history::frozen_request::FrozenRequest;
pub use history::retention::{Old, OldTypes, Pass};
pub use queue::bulk::RetrySelection;
pub use queue::claim::{Claimed, Excluded, TAKE_OVER_MAX};
pub use queue::failing::FailingWebhook;
pub use queue::ordering::Before;
pub use queue::state_changes::Cancelled;
pub use replays::candidates::Candidate;
pub use replays::runs::ReplayEnd;
pub use replays::step::ReplayStep;
pub use writer::accept::{Accepted, Keys, NewDelivery, NewEvent, OrderKey, Owner};
pub use writer::idempotency::{AcceptedOnce, AnswerOnce, Idempotent, Once};
pub use writer::record::{Record, Recorded};

use db::conn::{Conn, Connector};
use db::pool::{Lease, Pool};
use writer::commit::Job;

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

/// A handle to the database; clones share everything.
#[derive(Clone)]
pub struct Store {
    connector: Connector,
    pool: Pool,
    jobs: writer::commit::Jobs,
    claims: queue::claim::UnknownClaims,
    progress: queue::due::ScanProgress,
}

impl Store {
    /// Opens the database and starts the writer. Migrations are a call of their own.
    ///
    /// # Errors
    /// `Setup` for a URL of another form, `Unavailable` when the database cannot be opened.
    pub async fn connect(settings: &Settings) -> Result<Store, StoreError> {
        let connector = Connector::new(settings)?;
        let wait_max = Duration::from_millis(settings.reader_wait_ms);
        let pool = Pool::new(connector.clone(), settings.readers_max, wait_max);
        let jobs = Arc::new(writer::commit::start(&connector, settings)?);
        let (claims, progress) =
            (queue::claim::UnknownClaims::default(), queue::due::ScanProgress::default());
        let store = Store { connector, pool, jobs, claims, progress };
        store.ping().await?;
        Ok(store)
    }

    /// Brings the tables up to date and names the migrations that ran. Safe from many nodes.
    ///
    /// # Errors
    /// `Setup` when one of them failed, `Unavailable`.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.connector.migrate(false).await
    }

    /// The migrations that [`Store::migrate`] would run.
    ///
    /// # Errors
    /// `Setup`, `Unavailable`.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        self.connector.migrate(true).await
    }

    /// Asks the database whether it is there.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut lease = self.read().await?;
        self.connector.in_time(lease.conn().execute_text("SELECT 1")).await?;
        lease.give_back();
        Ok(())
    }

    /// Writes what waits, then closes all connections. Calls on other handles fail afterwards.
    pub async fn close(self) {
        let (done, ended) = oneshot::channel();
        if self.jobs.send(Job::Stop(done)).await.is_ok() {
            // An error means that the writer has ended already.
            let _ = ended.await;
        }
        self.pool.close();
    }

    /// A connection to read with.
    async fn read(&self) -> Result<Lease, StoreError> {
        self.connector.wait().await;
        self.pool.get().await
    }

    /// Runs `write` in a transaction and returns when it is durable. An error of `write` undoes
    /// it.
    async fn write<R, F>(&self, write: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: for<'a> FnOnce(&'a mut Conn) -> BoxFuture<'a, Result<R, StoreError>> + Send + 'static,
    {
        if self.connector.has_one_writer() {
            let (job, result) = writer::commit::write_job(write);
            self.jobs.send(Job::Write(job)).await.map_err(|_| StoreError::closed())?;
            return result.await.map_err(|_| {
                StoreError::unavailable("the database could not be opened for writing")
            })?;
        }
        let mut lease = self.pool.get().await?;
        let written = self.connector.in_time(async {
            lease.conn().begin().await?;
            let result = write(lease.conn()).await;
            match &result {
                Ok(_) => lease.conn().commit().await?,
                Err(error) if error.is_answer() => lease.conn().execute_text("ROLLBACK").await?,
                Err(_) => {}
            }
            result
        });
        let result = written.await;
        if result.as_ref().err().is_none_or(StoreError::is_answer) {
            lease.give_back();
        } else {
            self.pool.drop_idle();
        }
        result
    }
}

fn json_text(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt(e.to_string()))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt(e.to_string()))
}
