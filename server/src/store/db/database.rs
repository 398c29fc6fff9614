//! Access to the database for the rest of the store: reads on pooled connections, writes through SQLite's
//! writer or on a pooled connection to PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::conn::{Conn, Connector};
use super::error::StoreError;
use super::pool::{Lease, Pool};
use super::settings::Settings;
use super::write::{WriteQueue, write_job};

/// The connection pool and the writer's queue; clones share both.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) connector: Connector,
    pool: Pool,
    /// Queue for SQLite's writes.
    writer: Arc<dyn WriteQueue>,
}

impl Database {
    pub(crate) fn new(
        connector: Connector,
        settings: &Settings,
        writer: Arc<dyn WriteQueue>,
    ) -> Database {
        let wait_max = Duration::from_millis(settings.reader_wait_ms);
        let pool = Pool::new(connector.clone(), settings.readers_max, wait_max);
        Database { connector, pool, writer }
    }

    /// Checks that the database answers.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let mut lease = self.read().await?;
        self.connector.in_time(lease.conn().execute_text("SELECT 1")).await?;
        lease.give_back();
        Ok(())
    }

    /// Closes all idle connections; later requests for a connection fail.
    pub(crate) fn close(&self) {
        self.pool.close();
    }

    /// A connection for reading.
    pub(crate) async fn read(&self) -> Result<Lease, StoreError> {
        self.connector.wait().await;
        self.pool.get().await
    }

    /// Runs `write` in a transaction and returns when it is durable. An error of `write` rolls it back.
    pub(crate) async fn write<R, F>(&self, write: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: for<'a> FnOnce(&'a mut Conn) -> BoxFuture<'a, Result<R, StoreError>> + Send + 'static,
    {
        if self.connector.has_one_writer() {
            let (job, result) = write_job(write);
            self.writer.push(job).await?;
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
