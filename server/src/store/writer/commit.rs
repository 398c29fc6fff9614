//! Group commit: one writer takes what waits, up to a bound, and commits it in one transaction.
//! Everybody is answered when the commit that holds his work is durable. On SQLite all other
//! writes go the same way, each in a savepoint of its own.

use std::collections::HashSet;
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::mpsc;

use super::accept::{self, AcceptJob, Accepting, Answer};
use super::batch_window::BatchWindow;
use super::completion::complete_all;
use super::job::Job;
use super::record::{self, RecordJob, Recorded};
use crate::fault::{self, Point};
use crate::model::State;
use crate::store::db::conn::{Conn, Connector, Place, Role};
use crate::store::db::error::StoreError;
use crate::store::db::rows;
use crate::store::db::settings::Settings;
use crate::store::db::write::{Reply, WriteJob};
use crate::store::history::attempts;
use crate::store::queue::unknown_outcome::{self, UnknownOutcome};

/// After so many operations SQLite's log is moved into its file by another thread: about 4,000
/// changed pages.
const CHECKPOINT_EVERY: usize = 1_000;
/// Every so many of these moves the writer does the last step itself, between two commits. Only
/// then does the log begin anew, which it cannot while somebody keeps writing to it.
const RESTART_EVERY: usize = 16;

/// Starts the writer. It ends with `Job::Stop`, or when nobody can ask it any more.
pub(crate) fn start(
    connector: &Connector,
    settings: &Settings,
) -> Result<mpsc::Sender<Job>, StoreError> {
    let (sender, jobs) = mpsc::channel(settings.commit_queue_max.max(1));
    let mut committer = Committer {
        connector: connector.clone(),
        conn: None,
        window: BatchWindow {
            batch_max: settings.commit_batch_max.max(1),
            record_wait: settings.record_wait,
            wait: connector.writer_may_block().then_some(settings.commit_wait),
        },
        checkpoint: start_checkpointer(connector)?,
        since_checkpoint: 0,
        checkpoints: 0,
        unknown: Vec::new(),
    };
    connector.spawn_writer(async move { committer.run(jobs).await })?;
    Ok(sender)
}

fn start_checkpointer(connector: &Connector) -> Result<Option<SyncSender<()>>, StoreError> {
    let Some(mut checkpoint) = connector.checkpointer() else { return Ok(None) };
    // Room for one: a second wish during a checkpoint is served after it, a third is the second.
    let (wish, wishes) = sync_channel(1);
    std::thread::Builder::new()
        .name("antar-checkpoint".to_owned())
        .spawn(move || wishes.into_iter().for_each(|()| checkpoint()))
        .map_err(StoreError::unavailable)?;
    Ok(Some(wish))
}

/// Where a batch got stuck.
enum Failed {
    /// The database can't be reached, or is silent. Nothing was written.
    Gone(StoreError),
    /// Nothing was written.
    Write(StoreError),
    /// The connection broke during the commit itself: all was written, or nothing.
    Commit(StoreError),
}

struct Committer {
    connector: Connector,
    conn: Option<Conn>,
    window: BatchWindow,
    checkpoint: Option<SyncSender<()>>,
    since_checkpoint: usize,
    checkpoints: usize,
    /// Of commits whose outcome is unknown; bounded by what fails between two that work.
    unknown: Vec<UnknownOutcome>,
}

/// The jobs of one transaction, by kind.
#[derive(Default)]
struct Batch {
    accepts: Vec<AcceptJob>,
    records: Vec<RecordJob>,
    writes: Vec<WriteJob>,
}

/// What each job of a batch gets once the batch is durable.
struct Answers {
    accepts: Vec<Answer>,
    records: Vec<Recorded>,
}

impl Committer {
    async fn run(&mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = Vec::with_capacity(self.window.batch_max);
        let mut count = 0;
        loop {
            let max = self.window.batch_max;
            if waiting.is_empty() && jobs.recv_many(&mut waiting, max).await == 0 {
                return;
            }
            self.window.more(&mut jobs, &mut waiting, count).await;
            let (mut batch, mut stop) = (Batch::default(), None);
            count = self.fitting(&waiting);
            for job in waiting.drain(..count) {
                match job {
                    Job::Accept(job) => batch.accepts.push(job),
                    Job::Record(job) => batch.records.push(job),
                    Job::Write(job) => batch.writes.push(job),
                    Job::Stop(done) => stop = Some(done),
                }
            }
            self.serve(batch).await;
            self.checkpoint().await;
            if let Some(done) = stop {
                self.conn = None;
                // Nobody waits for it when the caller has gone.
                let _ = done.send(());
                return;
            }
        }
    }

    /// How many of the jobs go into the next transaction: up to the bound, and of each delivery one
    /// record.
    fn fitting(&mut self, waiting: &[Job]) -> usize {
        let (mut operations, mut recorded) = (0, HashSet::new());
        let fits = waiting.iter().take_while(|job| {
            let first = match job {
                Job::Record(job) => recorded.insert(job.delivery_id()),
                _ => true,
            };
            let room = operations < self.window.batch_max;
            if room && first {
                operations += job.operations();
            }
            room && first
        });
        let count = fits.count();
        self.since_checkpoint += operations;
        count
    }

    async fn serve(&mut self, mut batch: Batch) {
        let error = match self.commit(&mut batch).await {
            Ok(()) => return,
            Err(Failed::Gone(error) | Failed::Commit(error)) => return batch.refuse(&error),
            Err(Failed::Write(error)) if batch.len() <= 1 => return batch.refuse(&error),
            Err(Failed::Write(error)) => error,
        };
        // One of them may be what the database does not take: each alone, and only that one fails.
        tracing::warn!(%error, jobs = batch.len(), "a batch did not commit; its parts are tried alone");
        let mut gone = None;
        for mut alone in batch.apart() {
            if let Some(error) = &gone {
                alone.refuse(error);
                continue;
            }
            match self.commit(&mut alone).await {
                Ok(()) => {}
                Err(Failed::Write(error) | Failed::Commit(error)) => alone.refuse(&error),
                // Each further try would wait as long.
                Err(Failed::Gone(error)) => {
                    alone.refuse(&error);
                    gone = Some(error);
                }
            }
        }
    }

    /// Commits the batch and answers it. On an error what is left in the batch is unanswered, and
    /// nothing of it is written unless the commit itself failed.
    async fn commit(&mut self, batch: &mut Batch) -> Result<(), Failed> {
        if batch.len() == 0 {
            return Ok(());
        }
        let mut conn = match self.conn.take().and_then(Conn::if_alive) {
            Some(conn) => conn,
            None => self.connector.open(Role::Writer, Place::Here).await.map_err(Failed::Gone)?,
        };
        let released = release_unknown(&mut conn, &mut self.unknown);
        self.connector.in_time(released).await.map_err(Failed::Gone)?;
        self.connector.wait().await;
        // On an error the connection is dropped, and its transaction with it.
        let mut replies = Vec::with_capacity(batch.writes.len());
        let done = write(&self.connector, &mut conn, batch, &mut replies).await;
        self.connector.wait().await;
        for reply in replies {
            reply(done.as_ref().map(|_| ()).map_err(|failed| failed.error().clone()));
        }
        if let Err(Failed::Commit(error)) = &done {
            tracing::warn!(%error, "it is not known whether a batch was committed");
            self.unknown.extend(batch.in_flight());
        }
        let answers = done?;
        self.conn = Some(conn);
        let accepts = batch.accepts.drain(..).zip(answers.accepts);
        let records = batch.records.drain(..).zip(answers.records);
        let accepts = accepts.map(|(job, answer)| job.caller.completed(Ok(answer)));
        complete_all(accepts.chain(records.map(|(job, answer)| job.caller.completed(Ok(answer)))));
        Ok(())
    }

    async fn checkpoint(&mut self) {
        let Some(wish) = &self.checkpoint else { return };
        if self.since_checkpoint < CHECKPOINT_EVERY {
            return;
        }
        self.since_checkpoint = 0;
        self.checkpoints += 1;
        // Full: one is asked for already.
        let _ = wish.try_send(());
        if self.checkpoints.is_multiple_of(RESTART_EVERY)
            && let Some(conn) = &mut self.conn
            && let Err(error) = conn.execute_text("PRAGMA wal_checkpoint(PASSIVE)").await
        {
            tracing::warn!(%error, "a checkpoint did not run; the next one will");
            self.conn = None;
        }
    }
}

/// What an unknown commit may have left in flight becomes due: its callers were told that it
/// failed, and whoever sends it again is told that it is there already.
async fn release_unknown(
    conn: &mut Conn,
    unknown: &mut Vec<UnknownOutcome>,
) -> Result<(), StoreError> {
    if unknown.is_empty() {
        return Ok(());
    }
    conn.begin().await?;
    unknown_outcome::release(conn, &*unknown).await?;
    conn.commit().await?;
    unknown.clear();
    Ok(())
}

async fn write(
    connector: &Connector,
    conn: &mut Conn,
    batch: &mut Batch,
    replies: &mut Vec<Reply>,
) -> Result<Answers, Failed> {
    let written = async { Ok(write_all(conn, batch, replies).await) };
    let written = connector.in_time(written).await.map_err(Failed::Gone)?;
    let answers = written.map_err(Failed::Write)?;
    let kinds = [
        (!answers.accepts.is_empty(), Point::AcceptCommitAfter),
        (!answers.records.is_empty(), Point::RecordCommitAfter),
    ];
    connector.in_time(conn.commit()).await.map_err(Failed::Commit)?;
    for (_, point) in kinds.into_iter().filter(|(some, _)| *some) {
        fault::reach(point).await.map_err(|error| Failed::Commit(error.into()))?;
    }
    Ok(answers)
}

/// Opens the transaction and writes what events and attempts bring, in two steps: what decides, and
/// what follows from it. On PostgreSQL each is one round trip.
async fn write_jobs(
    conn: &mut Conn,
    accepts: &[AcceptJob],
    records: &[RecordJob],
) -> Result<Answers, StoreError> {
    let begun = accept::needs_before(accepts);
    if begun {
        conn.begin().await?;
    }
    let mut accepting = Accepting::start(conn, accepts).await?;
    let first = (accepting.events(), record::ends(records));
    let (new_here, ended) = rows::send_both(conn, !begun, first).await?;
    let recorded = record::recorded(conn, records, &ended).await?;
    let tried = record::tried(records, &recorded);
    let second = (accepting.deliveries(&new_here), attempts::rows(&tried)?);
    let (deliveries, numbered) = rows::send_both(conn, false, second).await?;
    attempts::renumber(conn, &tried, &numbered).await?;
    record::wake_next(conn, records).await?;
    Ok(Answers { accepts: accepting.end(conn, &new_here, &deliveries).await?, records: recorded })
}

/// All but the commit.
async fn write_all(
    conn: &mut Conn,
    batch: &mut Batch,
    replies: &mut Vec<Reply>,
) -> Result<Answers, StoreError> {
    let Answers { accepts, records } = write_jobs(conn, &batch.accepts, &batch.records).await?;
    for job in batch.writes.drain(..) {
        conn.execute_text("SAVEPOINT job").await?;
        match job(conn).await {
            Ok(reply) => {
                conn.execute_text("RELEASE job").await?;
                replies.push(reply);
            }
            Err(refusal) => {
                let answer = refusal.error.is_answer();
                let error = refusal.error.clone();
                (refusal.complete_all)(refusal.error);
                if !answer {
                    return Err(error);
                }
                conn.execute_text("ROLLBACK TO job; RELEASE job").await?;
            }
        }
    }
    for (some, point) in [
        (!accepts.is_empty(), Point::AcceptCommitBefore),
        (!records.is_empty(), Point::RecordCommitBefore),
    ] {
        if some {
            fault::reach(point).await?;
        }
    }
    Ok(Answers { accepts, records })
}

impl Failed {
    fn error(&self) -> &StoreError {
        let (Failed::Gone(error) | Failed::Write(error) | Failed::Commit(error)) = self;
        error
    }
}

impl Batch {
    /// Deliveries that its events bring in flight.
    fn in_flight(&self) -> impl Iterator<Item = UnknownOutcome> {
        let events = self.accepts.iter().flat_map(|job| &job.events);
        events.flat_map(|new| {
            let begun = new.deliveries.iter().filter(|delivery| delivery.state == State::InFlight);
            begun.map(|delivery| UnknownOutcome {
                delivery_id: delivery.id,
                owner: new.owner.clone(),
                since: new.accepted_at,
            })
        })
    }

    fn len(&self) -> usize {
        self.accepts.len() + self.records.len() + self.writes.len()
    }

    /// Each job as a batch of its own.
    fn apart(self) -> impl Iterator<Item = Batch> {
        let accepts =
            self.accepts.into_iter().map(|job| Batch { accepts: vec![job], ..Batch::default() });
        let records =
            self.records.into_iter().map(|job| Batch { records: vec![job], ..Batch::default() });
        let writes =
            self.writes.into_iter().map(|job| Batch { writes: vec![job], ..Batch::default() });
        accepts.chain(records).chain(writes)
    }

    /// Tells everybody that it did not work. A write that never ran learns it by its job's end.
    fn refuse(self, error: &StoreError) {
        let accepts = self.accepts.into_iter().map(|job| job.caller.completed(Err(error.clone())));
        let records = self.records.into_iter().map(|job| job.caller.completed(Err(error.clone())));
        complete_all(accepts.chain(records));
    }
}
