//! Group commit: one writer takes queued jobs, up to a limit, and commits them in one transaction. Each
//! caller is answered when the commit with its job is durable. On SQLite all other writes are jobs too, each
//! in a savepoint of its own.

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

/// Operations after which another thread checkpoints SQLite's write-ahead log: about 4,000 changed pages.
const CHECKPOINT_EVERY: usize = 1_000;
/// After this many checkpoints the writer runs the last part of one itself, between two commits. Only then
/// can the log restart; it cannot while commits keep writing to it.
const RESTART_EVERY: usize = 16;

/// Starts the writer. It ends with `Job::Stop`, or when all senders are dropped.
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
    // Capacity one: a request during a checkpoint is served after it and covers all further ones.
    let (wish, wishes) = sync_channel(1);
    std::thread::Builder::new()
        .name("antar-checkpoint".to_owned())
        .spawn(move || wishes.into_iter().for_each(|()| checkpoint()))
        .map_err(StoreError::unavailable)?;
    Ok(Some(wish))
}

/// How far a batch came before it failed.
enum Failed {
    /// The database is unreachable or does not answer. Nothing was written.
    Gone(StoreError),
    /// Failed before the commit. Nothing was written.
    Write(StoreError),
    /// The connection broke during the commit itself: everything was written, or nothing.
    Commit(StoreError),
}

struct Committer {
    connector: Connector,
    conn: Option<Conn>,
    window: BatchWindow,
    checkpoint: Option<SyncSender<()>>,
    since_checkpoint: usize,
    checkpoints: usize,
    /// Deliveries of commits with unknown outcome; bounded by what fails between two successful commits.
    unknown: Vec<UnknownOutcome>,
}

/// The jobs of one transaction, by kind.
#[derive(Default)]
struct Batch {
    accepts: Vec<AcceptJob>,
    records: Vec<RecordJob>,
    writes: Vec<WriteJob>,
}

/// The answers to the jobs of a batch, sent once it is durable.
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
                // An error means that the caller has gone away.
                let _ = done.send(());
                return;
            }
        }
    }

    /// Number of jobs that go into the next transaction: up to the limit, and at most one record for each
    /// delivery.
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
        // The database may reject a single job: commit each alone, so that only that one fails.
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
                // Every further commit would wait as long.
                Err(Failed::Gone(error)) => {
                    alone.refuse(&error);
                    gone = Some(error);
                }
            }
        }
    }

    /// Commits the batch and answers its callers. On an error the jobs left in the batch are unanswered, and
    /// nothing of them is written unless the commit itself failed.
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
        // Full: a checkpoint is requested already.
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

/// Makes due the deliveries that a commit with unknown outcome may have left in flight: its callers got an
/// error, and an event that is posted again is reported as a duplicate.
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

/// Begins the transaction and writes events and records in two steps: first events and delivery states, then
/// the deliveries and attempts that depend on their results. On PostgreSQL each step is one round trip.
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

/// Everything but the commit.
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
    /// Deliveries of its events that are in flight from the start.
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

    /// Answers all callers with the error. A write that never ran is dropped, which ends its caller's wait.
    fn refuse(self, error: &StoreError) {
        let accepts = self.accepts.into_iter().map(|job| job.caller.completed(Err(error.clone())));
        let records = self.records.into_iter().map(|job| job.caller.completed(Err(error.clone())));
        complete_all(accepts.chain(records));
    }
}
