//! Durable storage on SQLite or PostgreSQL: configuration, events, deliveries, attempts and replays.
//!
//! `db/` hides which of the two is in use; every query is written once, in the file of its table. Events and
//! records of attempts are committed in batches (`writer/commit.rs`). SQLite has a single writing connection,
//! so there all other writes go through the same queue. The current time is an argument of every call; only
//! `Conn::time` reads the database's clock.

mod configuration;
mod db;
mod history;
mod queue;
mod rejections;
mod replays;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use configuration::Configuration;
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
pub use db::new_rows::{Accepted, Keys, NewDelivery, NewEvent, OrderKey, Owner};
#[doc(hidden)]
pub use db::page::Place;
pub use db::page::{Page, PageSize};
pub use db::settings::Settings;
pub use db::simulated_latency::Pace;
pub use history::History;
pub use history::deliveries::{DeliveryFilter, StoredDelivery};
pub use history::events::{EventFilter, StoredEvent};
pub use history::frozen_request::{FrozenRequest, StoredRequest};
pub use history::listed_events::ListedEvent;
pub use history::retention::{Old, OldTypes, Oldest, Pass};
pub use queue::Queue;
pub use queue::bulk::RetrySelection;
pub use queue::claim::{Claimed, TAKE_OVER_MAX};
pub use queue::claim_limits::ClaimLimits;
pub use queue::failing::FailingWebhook;
pub use queue::ordering::Before;
pub use queue::state_changes::Cancelled;
pub use rejections::{ListedRejection, RejectionRow, Rejections};
pub use replays::Replays;
pub use replays::candidates::{Candidate, Candidates};
pub use replays::listed::ListedReplay;
pub use replays::runs::ReplayEnd;
pub use replays::step::ReplayStep;
pub use writer::Writer;
pub use writer::idempotency::{AcceptedOnce, AnswerOnce, Idempotent, Once};
pub use writer::record::{Record, Recorded};

use db::conn::Connector;
use db::database::Database;

/// The store, with one field per area. Clones share connections and the writer.
#[derive(Clone)]
pub struct Store {
    pub configuration: Configuration,
    pub writer: Writer,
    pub queue: Queue,
    pub history: History,
    pub replays: Replays,
    pub rejections: Rejections,
    db: Database,
}

impl Store {
    /// Opens the database and starts the writer. Does not run migrations: see `Store::migrate`.
    ///
    /// # Errors
    /// `Setup` for a URL of an unsupported form, `Unavailable` when the database cannot be opened.
    pub async fn connect(settings: &Settings) -> Result<Store, StoreError> {
        let connector = Connector::new(settings)?;
        let jobs = Arc::new(writer::start(&connector, settings)?);
        let db = Database::new(connector, settings, jobs.clone());
        db.ping().await?;
        Ok(Store {
            configuration: Configuration::new(db.clone()),
            writer: Writer::new(db.clone(), jobs, settings),
            queue: Queue::new(db.clone()),
            history: History::new(db.clone()),
            replays: Replays::new(db.clone()),
            rejections: Rejections::new(db.clone()),
            db,
        })
    }

    /// Runs the pending migrations and returns their names. Several nodes may call it at the same time.
    ///
    /// # Errors
    /// `Setup` when a migration fails, `Unavailable`.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.db.connector.migrate(false).await
    }

    /// The migrations that [`Store::migrate`] would run.
    ///
    /// # Errors
    /// `Setup`, `Unavailable`.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        self.db.connector.migrate(true).await
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db.ping().await
    }

    /// Commits all queued writes, then closes all connections. Calls on clones fail afterwards.
    pub async fn close(self) {
        self.writer.stop().await;
        self.db.close();
    }
}
