//! Databases for tests: a data folder, or a PostgreSQL database created for one test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use diesel::{Connection, RunQueryDsl, SqliteConnection, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};

use crate::proxy::Proxy;
use crate::server::{Builder, TestServer};

/// The server on which test databases are created, such as
/// `postgres://antar@127.0.0.1:5432/postgres`.
const URL_VARIABLE: &str = "ANTAR_TEST_DATABASE_URL";
/// Set to 1 where there is no PostgreSQL; tests then skip their PostgreSQL variant.
const SKIP_VARIABLE: &str = "ANTAR_TEST_SKIP_POSTGRES";

/// The database of a test's servers. On PostgreSQL, servers started on clones share the data; on
/// SQLite, each has a data folder of its own.
#[derive(Clone)]
pub struct Database {
    kind: Arc<Kind>,
}

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    number: i64,
}

enum Kind {
    Sqlite,
    Postgres { url: String, admin_url: String, name: String },
}

impl Database {
    /// SQLite in the server's data folder.
    #[must_use]
    pub fn sqlite() -> Database {
        Database { kind: Arc::new(Kind::Sqlite) }
    }

    /// A new, empty PostgreSQL database, dropped at the end. `None` if PostgreSQL is skipped on
    /// purpose; if it is missing otherwise, the test fails.
    pub async fn postgres() -> Option<Database> {
        if std::env::var(SKIP_VARIABLE).is_ok_and(|value| value == "1") {
            eprintln!("left out: {SKIP_VARIABLE}=1");
            return None;
        }
        let Ok(admin_url) = std::env::var(URL_VARIABLE) else {
            panic!(
                "{URL_VARIABLE} is not set. `cargo xtask test` starts a PostgreSQL and sets it; or set it to \
                 one in which databases can be created; or set {SKIP_VARIABLE}=1 to test SQLite alone"
            );
        };
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("antar_test_{}_{number}", std::process::id());
        execute(&admin_url, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        execute(&admin_url, &format!("CREATE DATABASE {name}")).await;
        let url = with_name(&admin_url, &name);
        Some(Database { kind: Arc::new(Kind::Postgres { url, admin_url, name }) })
    }

    /// The same PostgreSQL behind a proxy that can be cut. The database is dropped without the
    /// proxy.
    pub async fn behind_proxy(mut self) -> (Database, Proxy) {
        let kind = Arc::get_mut(&mut self.kind).expect("no server is on it yet");
        let Kind::Postgres { url, .. } = kind else { panic!("SQLite has no network") };
        let (start, end) = host_and_port(url);
        let proxy = Proxy::start(url[start..end].to_owned()).await;
        url.replace_range(start..end, &proxy.address().to_string());
        (self, proxy)
    }

    /// Value of `--database-url`; empty for SQLite.
    #[must_use]
    pub fn url(&self) -> &str {
        match &*self.kind {
            Kind::Sqlite => "",
            Kind::Postgres { url, .. } => url,
        }
    }

    /// The only number that a query finds, under the name `number`. SQLite's file is in `data_dir`.
    pub(crate) async fn number(&self, data_dir: &std::path::Path, sql: &str) -> i64 {
        let found = match &*self.kind {
            Kind::Sqlite => {
                let path = data_dir.join("antar.db");
                let mut file = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
                sql_query(sql).get_result::<Number>(&mut file)
            }
            Kind::Postgres { url, .. } => {
                let mut connection = AsyncPgConnection::establish(url).await.unwrap();
                diesel_async::RunQueryDsl::get_result::<Number>(sql_query(sql), &mut connection)
                    .await
            }
        };
        found.unwrap_or_else(|error| panic!("{sql}: {error}")).number
    }

    /// A server on this database, to be configured and started.
    #[must_use]
    pub fn server(self) -> Builder {
        Builder::new(self)
    }
}

/// Replaces the database name, which is the path of the URL, and keeps the query.
fn with_name(url: &str, name: &str) -> String {
    let (front, query) =
        url.split_once('?').map_or((url, String::new()), |(f, q)| (f, format!("?{q}")));
    let start = front.find("://").map_or(0, |at| at + 3);
    let front = front[start..].find('/').map_or(front, |at| &front[..start + at]);
    format!("{front}/{name}{query}")
}

/// Byte range of `HOST:PORT` in a URL.
fn host_and_port(url: &str) -> (usize, usize) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    let start = url[start..end].rfind('@').map_or(start, |at| start + at + 1);
    (start, end)
}

async fn execute(url: &str, statement: &str) {
    let connection = AsyncPgConnection::establish(url).await;
    let mut connection = connection.unwrap_or_else(|error| panic!("{URL_VARIABLE}={url}: {error}"));
    connection
        .batch_execute(statement)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

impl Drop for Kind {
    fn drop(&mut self) {
        let Kind::Postgres { admin_url, name, .. } = self else { return };
        let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        blocking(|| execute(admin_url, &statement));
    }
}

/// Runs a future to completion where code can't await, inside a runtime or not.
pub(crate) fn blocking<F: Future<Output: Send>>(make: impl FnOnce() -> F + Send) -> F::Output {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(make())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Argument type of a test in [`crate::on_both_databases!`].
pub trait FromDatabase {
    fn from_database(database: Database) -> impl Future<Output = Self>;
}

impl FromDatabase for Database {
    async fn from_database(database: Database) -> Database {
        database
    }
}

impl FromDatabase for TestServer {
    async fn from_database(database: Database) -> TestServer {
        database.server().start().await
    }
}

#[cfg(test)]
mod tests {
    use super::{host_and_port, with_name};

    #[test]
    fn host_and_port_are_found() {
        let url = "postgres://u:p@h:5432/postgres?x=/";
        let (start, end) = host_and_port(url);
        assert_eq!(&url[start..end], "h:5432");
    }

    #[test]
    fn only_the_name_of_a_url_is_replaced() {
        let url = with_name("postgres://u:p@h:5432/postgres?sslmode=disable", "other");
        assert_eq!(url, "postgres://u:p@h:5432/other?sslmode=disable");
        assert_eq!(with_name("postgres://u@h", "other"), "postgres://u@h/other");
    }
}
