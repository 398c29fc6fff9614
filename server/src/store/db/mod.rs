//! Database access: connections, the pool, bulk changes, schema, migrations, list pages and errors.
//!
//! Differences between SQLite and PostgreSQL belong here and nowhere else.

pub(super) mod columns;
pub(super) mod conn;
pub(super) mod database;
pub(super) mod error;
pub(super) mod listener;
pub(super) mod migrate;
pub(super) mod new_rows;
pub(super) mod page;
pub(super) mod pool;
pub(super) mod row_value;
pub(super) mod rows;
pub(super) mod schema;
pub(super) mod settings;
pub(super) mod simulated_latency;
pub(super) mod write;
