//! A small connection pool. A connection that is not given back, because its call failed or was dropped
//! half-way, is closed: its transaction, its locks and its unread answers go with it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::conn::{Conn, Connector, Place, Role};
use super::error::StoreError;

#[derive(Clone)]
pub(crate) struct Pool {
    connector: Connector,
    wait_max: Duration,
    free: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Conn>>>,
}

/// A pooled connection, borrowed for one call.
pub(crate) struct Lease {
    conn: Conn,
    idle: Arc<Mutex<Vec<Conn>>>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(crate) fn new(connector: Connector, connections_max: usize, wait_max: Duration) -> Pool {
        Pool {
            connector,
            wait_max,
            free: Arc::new(Semaphore::new(connections_max.max(1))),
            idle: Arc::default(),
        }
    }

    /// Waits for a free connection, up to `wait_max`.
    pub(crate) async fn get(&self) -> Result<Lease, StoreError> {
        let permit = tokio::time::timeout(self.wait_max, self.free.clone().acquire_owned())
            .await
            .map_err(|_| StoreError::unavailable("all connections are busy"))?
            .map_err(|_| StoreError::closed())?;
        let conn = match self.idle_one() {
            Some(conn) => conn,
            None => self.connector.open(Role::Lent, Place::Aside).await?,
        };
        Ok(Lease { conn, idle: self.idle.clone(), _permit: permit })
    }

    /// An idle connection. Drops those that broke while idle: the database may have restarted.
    fn idle_one(&self) -> Option<Conn> {
        let mut idle = self.idle.lock();
        std::iter::from_fn(|| idle.pop()).find_map(Conn::if_alive)
    }

    /// Closes the idle connections; later requests fail.
    pub(crate) fn close(&self) {
        self.free.close();
        self.drop_idle();
    }

    /// Closes the idle connections: when one is broken, the others probably are too.
    pub(crate) fn drop_idle(&self) {
        self.idle.lock().clear();
    }
}

impl Lease {
    pub(crate) fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// Returns the connection to the pool. Only after success, and outside a transaction.
    pub(crate) fn give_back(self) {
        let Lease { conn, idle, .. } = self;
        idle.lock().push(conn);
    }
}
