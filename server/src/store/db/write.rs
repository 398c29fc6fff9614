//! A write as a value: it runs on the connection that may write, and its caller learns what became of it
//! once the transaction has ended.

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::conn::Conn;
use super::error::StoreError;

/// A write of its own kind: does it, and returns what tells the caller after the commit.
pub(crate) type WriteJob =
    Box<dyn for<'a> FnOnce(&'a mut Conn) -> BoxFuture<'a, Result<Reply, Refusal>> + Send>;
/// Is called with the commit's outcome.
pub(crate) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// The write failed: what went wrong with the connection, if anything, after the caller was told.
pub(crate) struct Refusal {
    pub(crate) error: StoreError,
    pub(crate) complete_all: Box<dyn FnOnce(StoreError) + Send>,
}

/// Takes writes where one connection alone may write, as on SQLite.
pub(crate) trait WriteQueue: Send + Sync {
    /// Waits while the queue is full.
    ///
    /// # Errors
    /// `Unavailable` when the store is closed.
    fn push(&self, job: WriteJob) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Makes a job of a write, and a place where its result appears after the commit.
pub(crate) fn write_job<R, F>(write: F) -> (WriteJob, oneshot::Receiver<Result<R, StoreError>>)
where
    R: Send + 'static,
    F: for<'a> FnOnce(&'a mut Conn) -> BoxFuture<'a, Result<R, StoreError>> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let job: WriteJob = Box::new(move |conn| {
        Box::pin(async move {
            match write(conn).await {
                // A caller that has gone does not undo the write; there is nobody to tell.
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
