//! Tables of SQLite: an event with its delivery, and what became of it, with no more columns and indexes than
//! that takes.

use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;

use super::{Keep, Write};

diesel::table! {
    events (id) {
        id -> Binary,
        body -> Binary,
    }
}

diesel::table! {
    deliveries (id) {
        id -> Binary,
        event_id -> Binary,
        state -> Text,
        attempts -> BigInt,
    }
}

diesel::table! {
    attempts (delivery_id) {
        delivery_id -> Binary,
        number -> BigInt,
        status -> BigInt,
    }
}

const MAKE: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 4000;
    PRAGMA cache_size = -16384;
    CREATE TABLE events (id BLOB NOT NULL PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE deliveries (id BLOB NOT NULL PRIMARY KEY, event_id BLOB NOT NULL, state TEXT NOT NULL, attempts BIGINT NOT NULL);
    CREATE TABLE attempts (delivery_id BLOB NOT NULL, number BIGINT NOT NULL, status BIGINT NOT NULL, PRIMARY KEY (delivery_id, number));";

pub(super) struct Tables(SqliteConnection);

impl Keep for Tables {
    fn open(path: &Path) -> anyhow::Result<Tables> {
        let path = path.to_str().ok_or_else(|| anyhow::anyhow!("{} is no text", path.display()))?;
        let mut conn = SqliteConnection::establish(path)?;
        conn.batch_execute(MAKE)?;
        Ok(Tables(conn))
    }

    fn keep(&mut self, batch: &[Write]) -> anyhow::Result<()> {
        self.0.immediate_transaction(|conn| {
            for write in batch {
                match write {
                    Write::Event { id, body, .. } => event(conn, id, body)?,
                    Write::Outcome { id, status } => outcome(conn, id, *status)?,
                }
            }
            Ok(())
        })
    }
}

fn event(conn: &mut SqliteConnection, id: &[u8], body: &[u8]) -> QueryResult<()> {
    diesel::insert_into(events::table)
        .values((events::id.eq(id), events::body.eq(body)))
        .execute(conn)?;
    diesel::insert_into(deliveries::table)
        .values((
            deliveries::id.eq(id),
            deliveries::event_id.eq(id),
            deliveries::state.eq("in_flight"),
            deliveries::attempts.eq(0),
        ))
        .execute(conn)?;
    Ok(())
}

fn outcome(conn: &mut SqliteConnection, id: &[u8], status: i64) -> QueryResult<()> {
    diesel::insert_into(attempts::table)
        .values((attempts::delivery_id.eq(id), attempts::number.eq(1), attempts::status.eq(status)))
        .execute(conn)?;
    diesel::update(deliveries::table.find(id))
        .set((deliveries::state.eq("delivered"), deliveries::attempts.eq(1)))
        .execute(conn)?;
    Ok(())
}
