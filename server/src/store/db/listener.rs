//! A PostgreSQL connection that receives notifications of changes made by other nodes.

use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::StreamExt as _;

use super::conn::{Conn, Connector, Place, Role};
use super::error::StoreError;

const LISTEN: &str = "LISTEN antar_news";

pub(crate) struct Listener {
    conn: AsyncPgConnection,
    /// Prefix of this node's own notifications.
    own: String,
}

impl Listener {
    pub(crate) async fn open(connector: &Connector) -> Result<Listener, StoreError> {
        let Connector::Postgres { node, .. } = connector else {
            return Err(StoreError::Setup("SQLite has no news".to_owned()));
        };
        let Conn::Postgres(mut conn) = connector.open(Role::Lent, Place::Aside).await? else {
            return Err(StoreError::Setup("SQLite has no news".to_owned()));
        };
        conn.batch_execute(LISTEN).await?;
        Ok(Listener { conn: *conn, own: format!("{node} ") })
    }

    /// The next notification of another node, without that node's id. None: there was none within
    /// `ask_after`, or it was this node's own; the connection is intact.
    pub(crate) async fn next(&mut self, ask_after: Duration) -> Result<Option<String>, StoreError> {
        let said = {
            let mut said = std::pin::pin!(self.conn.notifications_stream());
            tokio::time::timeout(ask_after, said.next()).await
        };
        match said {
            Ok(Some(said)) => {
                let said = said?.payload;
                let foreign = (!said.starts_with(&self.own)).then_some(said);
                Ok(foreign.map(|said| said.split_once(' ').unwrap_or_default().1.to_owned()))
            }
            Ok(None) => Err(StoreError::unavailable("the connection ended")),
            Err(_) => {
                let asked = tokio::time::timeout(ask_after, self.conn.batch_execute("SELECT 1"));
                asked.await.map_err(|_| StoreError::unavailable("no answer in time"))??;
                Ok(None)
            }
        }
    }
}
