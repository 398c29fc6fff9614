//! Group commit: accepted events and records of attempts share transactions.
//!
//! [`Writer`] sends jobs to one task (`commit.rs`), which commits them in batches and wakes the callers.

pub(super) mod accept;
pub(super) mod batch_window;
pub(super) mod commit;
pub(super) mod completion;
pub(super) mod idempotency;
mod job;
pub(super) mod record;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use self::accept::{AcceptJob, Answer};
pub(super) use self::commit::start;
use self::completion::Caller;
use self::idempotency::{AcceptedOnce, Once};
use self::job::Job;
use self::record::{LongParts, Record, RecordJob, Recorded};
use super::db::database::Database;
use super::db::error::StoreError;
use super::db::new_rows::{Accepted, NewEvent};
use super::db::settings::Settings;
use super::db::write::{WriteJob, WriteQueue};
use crate::budget::{Budget, Charge, Limit, Limits};
use crate::model::TenantId;

/// The sending half of the writer's queue.
pub(super) type Jobs = mpsc::Sender<Job>;

/// Sends events and records to the writer task.
#[derive(Clone)]
pub struct Writer {
    db: Database,
    jobs: Arc<Jobs>,
    /// Rows of accepted events that wait for their transaction.
    rows: Arc<Budget<TenantId>>,
    rows_max: usize,
    /// How long events wait for their place in the queue.
    queue_wait: Duration,
}

impl WriteQueue for Jobs {
    fn push(&self, job: WriteJob) -> BoxFuture<'_, Result<(), StoreError>> {
        async move { self.send(Job::Write(job)).await.map_err(|_| StoreError::closed()) }.boxed()
    }
}

impl Writer {
    pub(super) fn new(db: Database, jobs: Arc<Jobs>, settings: &Settings) -> Writer {
        let (rows_max, queue_wait) = (settings.commit_rows_max.max(2), settings.commit_queue_wait);
        let limit = |by| Limit { by, max: rows_max, setting: "store.commit_rows_max" };
        let (server, owners) = (limit("the server"), limit("the tenant"));
        let rows = Budget::new(Limits { what: "rows to commit", server, owners });
        Writer { db, jobs, rows, rows_max, queue_wait }
    }

    /// Stores events with their deliveries in one transaction, shared with other callers, and returns when it
    /// is durable. Results are in the order of `events`. An event with a known (tenant, source, id), also
    /// within `events`, is a duplicate, with the first event's number of deliveries.
    ///
    /// # Errors
    /// `Busy` when the queue or the tenant's share of it stays full; `Unavailable` when the commit failed.
    pub async fn accept(&self, events: Vec<NewEvent>) -> Result<Vec<Accepted>, StoreError> {
        match self.send_accept(events, None).await? {
            Answer::New(accepted) => Ok(accepted),
            Answer::Before(_) => Ok(Vec::new()),
        }
    }

    /// [`Writer::accept`] for a request with an idempotency key.
    ///
    /// # Errors
    /// As `accept`.
    pub async fn accept_once(
        &self,
        events: Vec<NewEvent>,
        once: Once,
    ) -> Result<AcceptedOnce, StoreError> {
        Ok(match self.send_accept(events, Some(once)).await? {
            Answer::New(accepted) => AcceptedOnce::New(accepted),
            Answer::Before(answer) => AcceptedOnce::Before(answer),
        })
    }

    async fn send_accept(
        &self,
        events: Vec<NewEvent>,
        once: Option<Once>,
    ) -> Result<Answer, StoreError> {
        let deadline = Instant::now() + self.queue_wait;
        let _rows = self.take_rows(&events, deadline).await?;
        let (caller, answer) = Caller::here();
        let job = Job::Accept(AcceptJob { events, once, caller });
        let sent = timeout_at(deadline, self.jobs.send(job)).await;
        sent.map_err(|_| StoreError::Busy)?.map_err(|_| StoreError::closed())?;
        answer.await.map_err(|_| StoreError::closed())?
    }

    /// Waits until the events' tenant has its share of what waits for the writer, so that no tenant makes the
    /// others wait for all that it sends.
    async fn take_rows(
        &self,
        events: &[NewEvent],
        deadline: Instant,
    ) -> Result<Option<Charge<TenantId>>, StoreError> {
        let Some(first) = events.first() else { return Ok(None) };
        let owners: Arc<[TenantId]> = [first.event.key.tenant.clone()].into();
        // What is more than half of all may be sent alone.
        let rows = accept::rows_of(events).min(self.rows_max / 2);
        let taken = Charge::wait(&self.rows, &owners, rows, deadline).await;
        taken.map(Some).map_err(|_| StoreError::Busy)
    }

    /// Records the end of an attempt, or releases a delivery. Returns when it is durable.
    ///
    /// # Errors
    /// `Conflict` for a record that would leave the delivery in flight; `Unavailable` when the
    /// commit failed: then nothing was written, and the record can be sent again.
    pub async fn record(&self, record: impl Into<Arc<Record>>) -> Result<Recorded, StoreError> {
        let record = record.into();
        let long = LongParts::of(&record).await?;
        let (caller, answer) = Caller::here();
        let job = Job::Record(RecordJob::new(record, long, caller)?);
        self.jobs.send(job).await.map_err(|_| StoreError::closed())?;
        answer.await.map_err(|_| StoreError::closed())?
    }

    /// Commits all queued jobs, then ends the task.
    pub(super) async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        if self.jobs.send(Job::Stop(done)).await.is_ok() {
            // An error means that the writer has ended already.
            let _ = ended.await;
        }
    }
}
