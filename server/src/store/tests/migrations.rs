//! Migrations: both databases get the same tables.

use std::collections::BTreeMap;
use std::path::Path;

use diesel::sql_types::Text;
use diesel::{QueryableByName, sql_query};

use super::*;
use crate::store::db::conn::{Place, run};

fn migrations(database: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(database);
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        for name in ["up.sql", "down.sql"] {
            let text = std::fs::read_to_string(entry.path().join(name)).unwrap();
            files.insert(format!("{}/{name}", entry.file_name().to_string_lossy()), text);
        }
    }
    files
}

#[test]
fn the_files_differ_in_the_name_of_the_byte_type_only() {
    let (sqlite, postgres) = (migrations("sqlite"), migrations("postgres"));
    assert!(!sqlite.is_empty());
    let sqlite: BTreeMap<_, _> =
        sqlite.into_iter().map(|(name, text)| (name, text.replace("BLOB", "BYTEA"))).collect();
    assert_eq!(sqlite, postgres);
}

#[test]
fn no_statement_asks_the_database_for_the_time() {
    for (name, text) in migrations("sqlite").into_iter().chain(migrations("postgres")) {
        let text = text.to_lowercase();
        for word in ["now()", "current_timestamp", "clock_timestamp", "datetime("] {
            assert!(!text.contains(word), "{name} has {word}");
        }
    }
}

#[derive(QueryableByName, PartialEq, Eq, Debug)]
struct Column {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    column_name: String,
    #[diesel(sql_type = Text)]
    kind: String,
}

/// Table, column, and type with `!` for "not null".
async fn columns(store: &Store, sql: &str) -> Vec<String> {
    use diesel_async::RunQueryDsl as _;

    let mut lease = store.db.read().await.unwrap();
    let columns = run!(lease.conn(), |c| sql_query(sql).load::<Column>(c)).unwrap();
    lease.give_back();
    let mut lines: Vec<String> = columns
        .into_iter()
        .filter(|column| !column.table_name.starts_with("__diesel"))
        .map(|c| format!("{}.{} {}", c.table_name, c.column_name, c.kind))
        .collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn the_databases_have_the_same_columns_after_all_migrations() {
    let sqlite = Database::sqlite();
    let store = sqlite.store().await;
    let of_sqlite = columns(
        &store,
        "SELECT t.name AS table_name, c.name AS column_name,
                replace(lower(c.type), 'blob', 'bytea') || iif(c.\"notnull\", '!', '') AS kind
         FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'",
    )
    .await;
    assert!(of_sqlite.contains(&"webhooks.secret bytea!".to_owned()), "{of_sqlite:?}");
    store.close().await;
    sqlite.remove().await;
    let Some(postgres) = Database::postgres().await else { return };
    let store = postgres.store().await;
    let of_postgres = columns(
        &store,
        "SELECT table_name::text, column_name::text,
                data_type || CASE is_nullable WHEN 'NO' THEN '!' ELSE '' END AS kind
         FROM information_schema.columns WHERE table_schema = 'public'",
    )
    .await;
    assert_eq!(of_sqlite, of_postgres);
    store.close().await;
    postgres.remove().await;
}

#[tokio::test]
async fn migrations_are_named_run_once_and_can_be_told_beforehand() {
    let mut databases = vec![Database::sqlite()];
    databases.extend(Database::postgres().await);
    for database in databases {
        let settings = Settings { url: database.url(), ..Settings::default() };
        let store = Store::connect(&settings).await.unwrap();
        let pending = store.pending_migrations().await.unwrap();
        assert_eq!(pending.first().map(String::as_str), Some("00000000000001_start"));
        // Two nodes that start together.
        let (a, b) = tokio::join!(store.migrate(), store.migrate());
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!((a == pending && b.is_empty()) || (b == pending && a.is_empty()), "{a:?} {b:?}");
        assert!(store.pending_migrations().await.unwrap().is_empty());
        store.close().await;
        database.remove().await;
    }
}

#[tokio::test]
async fn a_url_of_another_form_is_refused_without_repeating_it() {
    for url in ["mysql://root:hunter2@host/db", "sqlite:", "sqlite::memory:", "antar.db"] {
        let settings = Settings { url: url.to_owned(), ..Settings::default() };
        let Err(StoreError::Setup(text)) = Store::connect(&settings).await else { panic!("{url}") };
        assert!(!text.contains("hunter2"));
    }
}

#[tokio::test]
async fn a_reader_of_sqlite_cannot_write() {
    let database = Database::sqlite();
    let store = database.store().await;
    let mut reader =
        store.db.connector.open(crate::store::db::conn::Role::Lent, Place::Aside).await.unwrap();
    assert!(reader.execute_text("DELETE FROM settings").await.is_err());
    store.close().await;
    database.remove().await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_of_sqlite_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let database = Database::sqlite();
    let Database::Sqlite(folder) = &database else { unreachable!() };
    let file = folder.join("antar.db");
    // As an earlier version left it.
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = database.store().await;
    store.configuration.put_setting("a", "b").await.unwrap();
    for name in ["antar.db", "antar.db-wal"] {
        let mode = std::fs::metadata(folder.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    store.close().await;
    database.remove().await;
}
