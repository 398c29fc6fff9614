//! Jobs in the writer's queue.

use tokio::sync::oneshot;

use super::accept::{AcceptJob, rows_of};
use super::record::RecordJob;
use crate::store::db::write::WriteJob;

/// One call that waits for the writer.
pub(crate) enum Job {
    Accept(AcceptJob),
    Record(RecordJob),
    Write(WriteJob),
    /// Finish earlier jobs, then end.
    Stop(oneshot::Sender<()>),
}

impl Job {
    /// Whether it may be delayed to share a commit: no caller is blocked on it.
    pub(super) fn can_wait(&self) -> bool {
        matches!(self, Job::Record(job) if job.can_wait())
    }

    /// Number of operations that it adds to a transaction.
    pub(super) fn operations(&self) -> usize {
        match self {
            Job::Accept(job) => rows_of(&job.events),
            Job::Record(_) | Job::Write(_) => 1,
            Job::Stop(_) => 0,
        }
    }
}
