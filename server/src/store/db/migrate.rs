//! Runs the schema migrations, and installs PostgreSQL's notification triggers.

use diesel::connection::SimpleConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::conn::{Conn, Connector, Place, Role};
use super::error::StoreError;

const SQLITE_MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations/sqlite");
const POSTGRES_MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations/postgres");

/// Advisory lock held while migrations run, so that nodes that start together do not run them twice.
/// The number is arbitrary, but the same in all versions.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_lock(418515444082)";
const MIGRATION_UNLOCK: &str = "SELECT pg_advisory_unlock(418515444082)";

/// Triggers that notify other nodes of changes; replaced at each start.
const ANNOUNCE: &str = include_str!("announce.sql");

impl Connector {
    /// Runs the pending migrations and returns their names. `dry`: only returns the names.
    pub(crate) async fn migrate(&self, dry: bool) -> Result<Vec<String>, StoreError> {
        match self.open(Role::Writer, Place::Aside).await? {
            // In one transaction: a second process finds nothing left to do.
            Conn::Sqlite(mut conn) => {
                conn.spawn_blocking(move |conn| {
                    Ok(conn.immediate_transaction(|conn| {
                        run_pending(conn, SQLITE_MIGRATIONS, dry).map_err(StoreError::Setup)
                    }))
                })
                .await?
            }
            Conn::Postgres(mut conn) => {
                conn.batch_execute(MIGRATION_LOCK).await?;
                let complete_all = !dry;
                let task = tokio::task::spawn_blocking(move || {
                    let mut conn = AsyncConnectionWrapper::<AsyncPgConnection>::from(*conn);
                    let mut done = run_pending(&mut conn, POSTGRES_MIGRATIONS, dry);
                    if complete_all && done.is_ok() {
                        let told = SimpleConnection::batch_execute(&mut conn, ANNOUNCE);
                        done = told.map_err(|e| format!("triggers: {e}")).and(done);
                    }
                    // If this fails, the lock ends with the connection.
                    let unlocked = SimpleConnection::batch_execute(&mut conn, MIGRATION_UNLOCK);
                    done.and_then(|names| unlocked.map(|()| names).map_err(|e| e.to_string()))
                });
                task.await.map_err(StoreError::unavailable)?.map_err(StoreError::Setup)
            }
        }
    }
}

fn run_pending<C, DB>(
    conn: &mut C,
    migrations: EmbeddedMigrations,
    dry: bool,
) -> Result<Vec<String>, String>
where
    DB: diesel::backend::Backend,
    C: MigrationHarness<DB>,
{
    let pending = conn.pending_migrations(migrations).map_err(|e| e.to_string())?;
    for migration in pending.iter().filter(|_| !dry) {
        conn.run_migration(migration).map_err(|e| format!("{}: {e}", migration.name()))?;
    }
    Ok(pending.iter().map(|migration| migration.name().to_string()).collect())
}
