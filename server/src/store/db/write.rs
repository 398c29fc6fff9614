//! Queued writes: closures that run on the writing connection, and whose callers get the result after the
//! transaction has ended.

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::conn::Conn;
use super::error::StoreError;

/// A queued write. Returns the function that answers the caller after the commit.
pub(crate) type WriteJob =
    Box<dyn for<'a> FnOnce(&'a mut Conn) -> BoxFuture<'a, Result<Reply, Refusal>> + Send>;
/// Called with the outcome of the commit.
pub(crate) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// A failed write: its error, and the function that answers the caller.
pub(crate) struct Refusal {
    pub(crate) error: StoreError,
    pub(crate) complete_all: Box<dyn FnOnce(StoreError) + Send>,
}

/// Queue of writes for a database with a single writing connection, such as SQLite.
pub(crate) trait WriteQueue: Send + Sync {
    /// Waits while the queue is full.
    ///
    /// # Errors
    /// `Unavailable` when the store is closed.
    fn push(&self, job: WriteJob) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Wraps a write as a job, with a receiver for its result after the commit.
pub(crate) fn write_job<R, F>(write: F) -> (WriteJob, oneshot::Receiver<Result<R, StoreError>>)
where
    R: Send + 'static,
    F: for<'a> FnOnce(&'a mut Conn) -> BoxFuture<'a, Result<R, StoreError>> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let job: WriteJob = Box::new(move |conn| {
        Box::pin(async move {
            match write(conn).await {
                // A caller that has gone away does not undo the write.
                Ok(result) => Ok(Box::new(move |committed: Result<(), StoreError>| {
                    let _ = sender.send(committed.map(|()| result));
                }) as Reply),
                Err(error) => Err(Refusal {
                    error,
                    complete_all: Box::new(move |error| {
                        let _ = sender.send(Err(error));
                    }),
                }),
            }
        })
    });
    (job, receiver)
}
