//! Connections to either database. Only this file, `migrate.rs` and `rows.rs` contain code for both; all
//! other code writes a query once, and [`run`] and [`each`] send it to the database in use.

use std::time::Duration;

use diesel::SqliteConnection;
use diesel::connection::{Connection as _, SimpleConnection};
use diesel::dsl::sql;
use diesel::sql_types::BigInt;
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use diesel_async::{
    AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _,
};
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};

use super::error::StoreError;
use super::settings::Settings;
use super::simulated_latency::Pace;
use crate::model::Millis;

/// PostgreSQL keeps the plan of a prepared statement while tables grow: a plan made for a small table must
/// not scan the whole table when it is large. Every statement has an index to use.
const BY_INDEX: &str =
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

/// The few statements of group commit take their values as arrays: the best plan does not depend on the
/// values, and planning at each commit took an eighth of PostgreSQL's time.
const PLAN_ONCE: &str = "SET plan_cache_mode = force_generic_plan";

/// A connection to either database.
pub(crate) enum Conn {
    Sqlite(Box<Sqlite>),
    Postgres(Box<AsyncPgConnection>),
}

pub(super) type Sqlite = SyncConnectionWrapper<SqliteConnection, Place>;

/// Sends one query: `run!(conn, |c| tenants::table.load::<TenantRow>(c))`. A second name is bound to
/// the backend's type: `run!(conn, |c, Db| boxed::<Db>(filter).load::<Row>(c))`.
macro_rules! run {
    ($conn:expr, |$c:ident $(, $db:ident)?| $query:expr) => {
        match $conn {
            $crate::store::db::conn::Conn::Sqlite(conn) => {
                $(type $db = diesel::sqlite::Sqlite;)?
                let $c = &mut **conn;
                $query.await
            }
            $crate::store::db::conn::Conn::Postgres(conn) => {
                $(type $db = diesel::pg::Pg;)?
                let $c = &mut **conn;
                $query.await
            }
        }
    };
}

/// Sends one statement for each row and returns the results in order. The statement is prepared once. On
/// PostgreSQL the statements are pipelined: none waits for the answer to another.
macro_rules! each {
    ($conn:expr, $rows:expr, |$row:ident, $c:ident| $query:expr) => {
        match $conn {
            $crate::store::db::conn::Conn::Sqlite(conn) => {
                let mut answers = Vec::with_capacity($rows.len());
                let mut failed = None;
                for $row in $rows {
                    let $c = &mut **conn;
                    match $query.await {
                        Ok(answer) => answers.push(answer),
                        Err(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                }
                failed.map_or(Ok(answers), Err)
            }
            $crate::store::db::conn::Conn::Postgres(conn) => {
                let conn: &diesel_async::AsyncPgConnection = &**conn;
                let mut answers = Vec::with_capacity($rows.len());
                let mut failed = None;
                for rows in $rows.chunks($crate::store::db::conn::SENT_AHEAD_MAX) {
                    let statements = rows.iter().map(|$row| async move {
                        let $c = &mut &*conn;
                        $query.await
                    });
                    match futures_util::future::try_join_all(statements).await {
                        Ok(some) => answers.extend(some),
                        Err(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                }
                failed.map_or(Ok(answers), Err)
            }
        }
    };
}

/// Statements in one PostgreSQL pipeline at most.
pub(crate) const SENT_AHEAD_MAX: usize = 256;

/// Loads rows that the same transaction changes next. On PostgreSQL it locks them and skips rows that
/// another node has locked.
macro_rules! load_to_change {
    ($conn:expr, $row:ty, $query:expr) => {
        match $conn {
            $crate::store::db::conn::Conn::Sqlite(conn) => $query.load::<$row>(&mut **conn).await,
            $crate::store::db::conn::Conn::Postgres(conn) => {
                $query.for_update().skip_locked().load::<$row>(&mut **conn).await
            }
        }
    };
}

pub(crate) use {each, load_to_change, run};

/// The thread that runs SQLite's statements: the library blocks.
pub(crate) enum Place {
    /// The caller's thread, which does nothing else.
    Here,
    /// The runtime's threads for blocking work.
    Aside,
}

impl SpawnBlocking for Place {
    fn spawn_blocking<'a, R: Send + 'static>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn std::error::Error + Send + Sync + 'static>>> {
        match self {
            Place::Here => std::future::ready(Ok(task())).boxed(),
            Place::Aside => {
                let task = tokio::task::spawn_blocking(task);
                async move { task.await.map_err(Into::into) }.boxed()
            }
        }
    }

    fn get_runtime() -> Place {
        Place::Aside
    }
}

/// Opens connections.
#[derive(Clone)]
pub(crate) enum Connector {
    Sqlite {
        path: String,
        busy_timeout_ms: u32,
        pace: Option<Pace>,
    },
    /// `node` identifies this node in notifications of changes.
    Postgres {
        url: String,
        answer_timeout: Duration,
        node: String,
    },
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The connection of group commit.
    Writer,
    /// A pooled connection for everything else. On SQLite it is read-only.
    Lent,
}

impl Connector {
    /// Parses the URL: `sqlite:PATH`, `postgres://…` or `postgresql://…`.
    pub(crate) fn new(settings: &Settings) -> Result<Connector, StoreError> {
        let url = settings.url.as_str();
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.starts_with(":memory:") {
                return Err(StoreError::Setup("sqlite: wants the path of a file".to_owned()));
            }
            return Ok(Connector::Sqlite {
                path: path.to_owned(),
                busy_timeout_ms: settings.busy_timeout_ms,
                pace: settings.pace.clone(),
            });
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let (answer_timeout, node) = (settings.answer_timeout, settings.node.clone());
            return Ok(Connector::Postgres { url: url.to_owned(), answer_timeout, node });
        }
        // The error does not repeat the URL, which may contain a password.
        Err(StoreError::Setup(
            "a database URL is sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE".to_owned(),
        ))
    }

    /// True where only one connection can write, so that all writes go through the writer.
    pub(crate) fn has_one_writer(&self) -> bool {
        matches!(self, Connector::Sqlite { .. })
    }

    /// True where the writer has a thread of its own.
    pub(crate) fn writer_may_block(&self) -> bool {
        self.has_one_writer() && self.pace().is_none()
    }

    /// Opens a connection. `Place::Here` requires a thread that may block.
    pub(crate) async fn open(&self, role: Role, place: Place) -> Result<Conn, StoreError> {
        match self {
            Connector::Sqlite { path, busy_timeout_ms, pace } => {
                let (path, busy_timeout_ms) = (path.clone(), *busy_timeout_ms);
                let simulated = pace.is_some();
                let mut place = if simulated { Place::Here } else { place };
                let conn = place
                    .spawn_blocking(move || open_sqlite(&path, role, busy_timeout_ms, simulated))
                    .await
                    .map_err(StoreError::unavailable)??;
                Ok(Conn::Sqlite(Box::new(SyncConnectionWrapper::with_runtime(conn, place))))
            }
            Connector::Postgres { url, node, .. } => {
                // Boxed: the future is large, and calls to the store rarely wait for it.
                let conn = self.in_time(Box::pin(async {
                    let conn = AsyncPgConnection::establish(url).await;
                    let mut conn = conn.map_err(StoreError::unavailable)?;
                    // `node` is a UUID and needs no escaping.
                    conn.batch_execute(&format!("SET antar.node = '{node}'")).await?;
                    conn.batch_execute(BY_INDEX).await?;
                    if role == Role::Writer {
                        conn.batch_execute(PLAN_ONCE).await?;
                    }
                    Ok(conn)
                }));
                Ok(Conn::Postgres(Box::new(conn.await?)))
            }
        }
    }

    fn pace(&self) -> Option<&Pace> {
        match self {
            Connector::Sqlite { pace, .. } => pace.as_ref(),
            Connector::Postgres { .. } => None,
        }
    }

    /// Waits for the simulated latency; returns at once for a real database.
    pub(crate) async fn wait(&self) {
        if let Some(pace) = self.pace() {
            pace.wait().await;
        }
    }

    /// Limits `work` to PostgreSQL's answer timeout; SQLite's calls return in any case. After a timeout the
    /// work may still take effect, and its connection is unusable.
    pub(crate) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Connector::Postgres { answer_timeout, .. } = self else { return work.await };
        let done = tokio::time::timeout(*answer_timeout, work).await;
        done.map_err(|_| StoreError::unavailable("the database did not answer in time"))?
    }

    /// Runs `writer` to its end: on SQLite in a thread of its own, where its statements may block and need no
    /// hand-over to another thread; on PostgreSQL as a task.
    pub(crate) fn spawn_writer<F>(&self, writer: F) -> Result<(), StoreError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if !self.writer_may_block() {
            tokio::spawn(writer);
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(StoreError::unavailable)?;
        std::thread::Builder::new()
            .name("antar-commit".to_owned())
            .spawn(move || runtime.block_on(writer))
            .map_err(StoreError::unavailable)?;
        Ok(())
    }

    /// Checkpoints SQLite's write-ahead log, concurrently with the writer. None on PostgreSQL and with
    /// simulated latency.
    pub(crate) fn checkpointer(&self) -> Option<impl FnMut() + Send + 'static> {
        let Connector::Sqlite { path, busy_timeout_ms, pace: None } = self.clone() else {
            return None;
        };
        let mut conn = None;
        Some(move || {
            if conn.is_none() {
                conn = open_sqlite(&path, Role::Writer, busy_timeout_ms, false).ok();
            }
            let Some(open) = &mut conn else { return };
            if let Err(error) = open.batch_execute("PRAGMA wal_checkpoint(PASSIVE)") {
                tracing::warn!(%error, "a checkpoint did not run; the next one will");
                conn = None;
            }
        })
    }
}

/// `synchronous=FULL`: an acknowledged commit survives power loss. No automatic checkpoints: they would
/// run within a caller's commit. With simulated latency both are the other way round.
fn open_sqlite(
    path: &str,
    role: Role,
    busy_timeout_ms: u32,
    simulated: bool,
) -> Result<SqliteConnection, StoreError> {
    if let Err(error) = make_private(path) {
        tracing::warn!(%error, path, "other users may be able to read the database; check who owns it");
    }
    let mut conn = SqliteConnection::establish(path).map_err(StoreError::unavailable)?;
    let (query_only, cache_kib) = match role {
        // Not larger: some commits visit every cached page.
        Role::Writer => ("OFF", 16 << 10),
        Role::Lent => ("ON", 8 << 10),
    };
    let (synchronous, checkpoint) = if simulated { ("OFF", 1_000) } else { ("FULL", 0) };
    conn.batch_execute(&format!(
        "PRAGMA busy_timeout = {busy_timeout_ms};
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA wal_autocheckpoint = {checkpoint};
         PRAGMA cache_size = -{cache_kib};
         PRAGMA temp_store = MEMORY;
         PRAGMA query_only = {query_only};"
    ))?;
    Ok(conn)
}

/// Creates the database's file if it is missing, and takes it from everybody but its owner. SQLite gives its
/// log the same permissions. An existing file is not opened here: closing it would end the locks that other
/// connections of this process hold on it.
fn make_private(path: &str) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::fs::{OpenOptions, Permissions, metadata, set_permissions};
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

        let Ok(known) = metadata(path) else {
            let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            return match created {
                // Another connection was faster.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                created => created.map(drop),
            };
        };
        if known.permissions().mode() & 0o077 != 0 {
            set_permissions(path, Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}

/// [`Conn::begin`] for a shared connection, on which other statements may be sent at the same time.
pub(super) async fn begin_postgres(mut conn: &AsyncPgConnection) -> Result<(), StoreError> {
    Ok(conn.batch_execute("BEGIN").await?)
}

impl Conn {
    /// None if the server is known to have closed the connection; sends nothing to find out.
    pub(crate) fn if_alive(mut self) -> Option<Conn> {
        if let Conn::Postgres(conn) = &mut self {
            let mut said = std::pin::pin!(conn.notifications_stream());
            // This connection has no LISTEN: whatever the stream yields is the connection's end.
            if said.next().now_or_never().is_some() {
                return None;
            }
        }
        Some(self)
    }

    pub(crate) async fn execute_text(&mut self, sql: &str) -> Result<(), StoreError> {
        Ok(run!(self, |c| c.batch_execute(sql))?)
    }

    /// Begins a write transaction. SQLite takes the write lock at once, so that no later statement fails for
    /// lack of it.
    pub(crate) async fn begin(&mut self) -> Result<(), StoreError> {
        match self {
            Conn::Sqlite(_) => self.execute_text("BEGIN IMMEDIATE").await,
            Conn::Postgres(conn) => begin_postgres(conn).await,
        }
    }

    /// Begins a read transaction on one consistent snapshot.
    pub(crate) async fn begin_read(&mut self) -> Result<(), StoreError> {
        let sql = match self {
            Conn::Sqlite(_) => "BEGIN",
            Conn::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        self.execute_text(sql).await
    }

    /// The time of PostgreSQL's clock; none on SQLite. No other statement reads the clock.
    pub(crate) async fn time(&mut self) -> Result<Option<Millis>, StoreError> {
        match self {
            Conn::Sqlite(_) => Ok(None),
            Conn::Postgres(conn) => {
                let ms = diesel::select(sql::<BigInt>(
                    "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
                ));
                Ok(Some(ms.get_result::<Millis>(&mut **conn).await?))
            }
        }
    }

    /// Bytes of SQLite's file without its free pages; none on PostgreSQL.
    pub(crate) async fn used_bytes(&mut self) -> Result<Option<u64>, StoreError> {
        match self {
            Conn::Postgres(_) => Ok(None),
            Conn::Sqlite(conn) => {
                let used = diesel::select(sql::<BigInt>(
                    "(SELECT page_count FROM pragma_page_count()) \
                     * (SELECT page_size FROM pragma_page_size()) \
                     - (SELECT freelist_count FROM pragma_freelist_count()) \
                     * (SELECT page_size FROM pragma_page_size())",
                ));
                let used = used.get_result::<i64>(&mut **conn).await?;
                Ok(u64::try_from(used).ok())
            }
        }
    }

    pub(crate) async fn commit(&mut self) -> Result<(), StoreError> {
        self.execute_text("COMMIT").await
    }
}
