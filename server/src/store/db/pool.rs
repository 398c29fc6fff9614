//! A few connections that are lent out. One that is not given back in good order, because its call
//! failed or its caller went away half-way, is thrown away: its transaction, its lock and its
//! unread answers go with it.

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

/// A connection for one call.
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

    /// Waits for a free connection, for a while.
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

    /// One that broke while nobody used it goes: the database may have been away, and be back.
    fn idle_one(&self) -> Option<Conn> {
        let mut idle = self.idle.lock();
        std::iter::from_fn(|| idle.pop()).find_map(Conn::if_alive)
    }

    /// Nobody gets a connection any more; the idle ones close.
    pub(crate) fn close(&self) {
        self.free.close();
        self.drop_idle();
    }

    /// Closes the idle ones: after one was found broken, the others are likely to be.
    pub(crate) fn drop_idle(&self) {
        self.idle.lock().clear();
    }
}

impl Lease {
    pub(crate) fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// Gives it back. Only after all went well and outside of a transaction.
    pub(crate) fn give_back(self) {
        let Lease { conn, idle, .. } = self;
        idle.lock().push(conn);
    }
}
