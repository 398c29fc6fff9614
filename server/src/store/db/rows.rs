//! Bulk inserts and updates, written once for both databases: SQLite runs a prepared statement row by row,
//! PostgreSQL gets each column as one array and changes all rows in one statement.

use std::any::Any;
use std::collections::HashSet;
use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::connection::Connection as _;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::try_join3;

use super::conn::{self, Conn, Sqlite as SqliteConn};
use super::error::StoreError;
use super::row_value::{Cell, StoredCell};

/// Type of a column; every column may contain nulls.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Kind {
    Text,
    Number,
    Id,
    Flag,
    Bytes,
}

/// How each row is written.
pub(crate) enum Change {
    /// Inserts into this table; skips rows whose key exists.
    Insert(&'static str),
    /// `UPDATE TABLE AS old SET … WHERE …`, with `:name` as placeholder for the row's value of that column:
    /// each column once, in the order of [`Statement::COLUMNS`].
    Update(&'static str),
}

/// A statement applied to many rows.
pub(crate) trait Statement: Any + Send + Sync {
    const CHANGE: Change;
    const COLUMNS: &'static [(&'static str, Kind)];
    /// Number of trailing columns of an insert that are mostly null. They are left out if null in all rows:
    /// every value of every row costs time.
    const SELDOM: usize = 0;
    /// SQL expression that identifies a changed row (PostgreSQL), equal to [`Statement::key`] of its cells.
    /// Default: the column `id`.
    const KEY: &'static str = "encode(old.id, 'hex')";

    fn key(row: &[Cell<'_>]) -> String {
        let id = Self::COLUMNS.iter().position(|(name, _)| *name == "id");
        id.and_then(|at| row.get(at)).map(Cell::spelled).unwrap_or_default()
    }
}

/// The columns of a statement, with or without those that are mostly null.
fn columns<S: Statement>(all: bool) -> &'static [(&'static str, Kind)] {
    let seldom = if all { 0 } else { S::SELDOM };
    &S::COLUMNS[..S::COLUMNS.len() - seldom]
}

/// The rows of a statement.
pub(crate) struct Rows<S> {
    /// Texts of all cells, concatenated.
    text: String,
    cells: Vec<StoredCell>,
    statement: PhantomData<S>,
}

impl<S: Statement> Rows<S> {
    pub(crate) fn new() -> Rows<S> {
        Rows { text: String::new(), cells: Vec::new(), statement: PhantomData }
    }

    /// Adds a row: one cell for each column.
    pub(crate) fn push<const COLUMNS: usize>(&mut self, row: [Cell<'_>; COLUMNS]) {
        const { assert!(COLUMNS == S::COLUMNS.len(), "a cell for each column") };
        let kept = row.map(|cell| {
            cell.map_text(|text| {
                let start = self.text.len();
                self.text.push_str(&text);
                start..self.text.len()
            })
        });
        self.cells.extend(kept);
    }

    fn row(&self, at: usize) -> &[StoredCell] {
        &self.cells[at * S::COLUMNS.len()..][..S::COLUMNS.len()]
    }

    fn count(&self) -> usize {
        self.cells.len() / S::COLUMNS.len()
    }

    /// Sends the rows and returns for each whether it changed anything. No two rows may have the same key.
    pub(crate) async fn send(self, conn: &mut Conn) -> Result<Vec<bool>, StoreError> {
        match conn {
            Conn::Sqlite(conn) => self.send_sqlite(conn).await,
            Conn::Postgres(conn) => self.send_postgres(conn).await,
        }
    }

    async fn send_sqlite(self, conn: &mut SqliteConn) -> Result<Vec<bool>, StoreError> {
        if self.cells.is_empty() {
            return Ok(Vec::new());
        }
        let done = conn.spawn_blocking(move |conn| match self.has_seldom() {
            true => self.one_by_one::<true>(conn),
            false => self.one_by_one::<false>(conn),
        });
        Ok(done.await?)
    }

    async fn send_postgres(self, mut conn: &AsyncPgConnection) -> Result<Vec<bool>, StoreError> {
        if self.cells.is_empty() {
            return Ok(Vec::new());
        }
        let changed = match self.has_seldom() {
            true => self.at_once::<true>().load::<String>(&mut conn).await?,
            false => self.at_once::<false>().load::<String>(&mut conn).await?,
        };
        Ok(self.which(&changed))
    }

    /// Whether any row has a value in a column that is mostly null.
    fn has_seldom(&self) -> bool {
        let always = columns::<S>(false).len();
        (0..self.count())
            .any(|at| self.row(at)[always..].iter().any(|cell| *cell != StoredCell::Null))
    }

    fn one_by_one<const ALL: bool>(&self, conn: &mut SqliteConnection) -> QueryResult<Vec<bool>> {
        let pieces = pieces::<S>();
        let rows = (0..self.count()).map(|at| OneRow::<S, ALL> {
            text: &self.text,
            cells: &self.row(at)[..columns::<S>(ALL).len()],
            pieces: &pieces,
            statement: PhantomData,
        });
        rows.map(|row| Ok(conn.execute_returning_count(&row)? > 0)).collect()
    }

    fn at_once<const ALL: bool>(&self) -> AllRows<'_, S, ALL> {
        let columns = columns::<S>(ALL).iter().enumerate();
        let columns = columns.map(|(at, (_, kind))| {
            let cells = self.cells.iter().skip(at).step_by(S::COLUMNS.len());
            match kind {
                Kind::Text => Column::Text(cells.map(|cell| cell.text(&self.text)).collect()),
                Kind::Number => Column::Number(cells.map(StoredCell::number).collect()),
                Kind::Id => Column::Id(cells.map(StoredCell::id).collect()),
                Kind::Flag => Column::Flag(cells.map(StoredCell::flag).collect()),
                Kind::Bytes => Column::Bytes(cells.map(StoredCell::bytes).collect()),
            }
        });
        AllRows(columns.collect(), PhantomData)
    }

    /// For each row, whether its key is among the changed ones.
    fn which(&self, changed: &[String]) -> Vec<bool> {
        let count = self.count();
        if changed.len() == count {
            return vec![true; count];
        }
        let changed: HashSet<&str> = changed.iter().map(String::as_str).collect();
        let key = |row: &[StoredCell]| {
            S::key(&row.iter().map(|cell| cell.shown(&self.text)).collect::<Vec<_>>())
        };
        (0..count).map(|at| changed.contains(key(self.row(at)).as_str())).collect()
    }
}

/// Sends two independent changes, pipelined on PostgreSQL. `begin`: begins the transaction before them.
pub(crate) async fn send_both<A: Statement, B: Statement>(
    conn: &mut Conn,
    begin: bool,
    (first, second): (Rows<A>, Rows<B>),
) -> Result<(Vec<bool>, Vec<bool>), StoreError> {
    if let Conn::Postgres(conn) = conn {
        let conn = &**conn;
        let begin = async { if begin { conn::begin_postgres(conn).await } else { Ok(()) } };
        let both = try_join3(begin, first.send_postgres(conn), second.send_postgres(conn));
        let ((), first, second) = both.await?;
        return Ok((first, second));
    }
    if begin {
        conn.begin().await?;
    }
    Ok((first.send(conn).await?, second.send(conn).await?))
}

/// The statement for one row on SQLite.
struct OneRow<'a, S, const ALL: bool> {
    text: &'a str,
    cells: &'a [StoredCell],
    /// For an update: see [`pieces`].
    pieces: &'a [&'static str],
    statement: PhantomData<S>,
}

impl<S: Statement, const ALL: bool> QueryFragment<Sqlite> for OneRow<'_, S, ALL> {
    /// Diesel walks this several times for each row: to find the prepared statement, and to collect the
    /// values.
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        match S::CHANGE {
            Change::Insert(table) => {
                push_insert::<S, Sqlite>(&mut out, table, ALL);
                for (at, cell) in self.cells.iter().enumerate() {
                    out.push_sql(if at == 0 { ") VALUES (" } else { ", " });
                    bind(cell, self.text, &mut out)?;
                }
                out.push_sql(") ON CONFLICT DO NOTHING");
            }
            Change::Update(_) => {
                for (cell, before) in self.cells.iter().zip(self.pieces) {
                    out.push_sql(before);
                    bind(cell, self.text, &mut out)?;
                }
                out.push_sql(self.pieces.last().unwrap_or(&""));
            }
        }
        Ok(())
    }
}

/// `INSERT INTO table (name, name, …`
fn push_insert<S: Statement, DB: Backend>(
    out: &mut AstPass<'_, '_, DB>,
    table: &'static str,
    all: bool,
) {
    out.push_sql("INSERT INTO ");
    out.push_sql(table);
    for (at, (name, _)) in columns::<S>(all).iter().enumerate() {
        out.push_sql(if at == 0 { " (" } else { ", " });
        out.push_sql(name);
    }
}

/// The SQL of an update, split at its placeholders: the text before each column, and after the last.
fn pieces<S: Statement>() -> Vec<&'static str> {
    let Change::Update(mut rest) = S::CHANGE else { return Vec::new() };
    let mut pieces = Vec::with_capacity(S::COLUMNS.len() + 1);
    for (name, _) in S::COLUMNS {
        let (before, after) = rest.split_once(':').unwrap_or((rest, ""));
        pieces.push(before);
        rest = after.strip_prefix(name).unwrap_or(after);
    }
    pieces.push(rest);
    pieces
}

fn bind<'b>(
    cell: &'b StoredCell,
    text: &'b str,
    out: &mut AstPass<'_, 'b, Sqlite>,
) -> QueryResult<()> {
    match cell {
        StoredCell::Text(at) => out.push_bind_param::<Text, str>(&text[at.clone()]),
        StoredCell::Number(number) => out.push_bind_param::<BigInt, _>(number),
        StoredCell::Id(id) => out.push_bind_param::<Binary, _>(id),
        StoredCell::Flag(flag) => out.push_bind_param::<Bool, _>(flag),
        StoredCell::Bytes(bytes) => out.push_bind_param::<Binary, [u8]>(bytes),
        StoredCell::Null => out.push_bind_param::<Nullable<BigInt>, Option<i64>>(&None),
    }
}

impl<S: Statement, const ALL: bool> QueryId for OneRow<'_, S, ALL> {
    type QueryId = OneRow<'static, S, ALL>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

/// The statement for all rows on PostgreSQL.
struct AllRows<'a, S, const ALL: bool>(Vec<Column<'a>>, PhantomData<S>);

enum Column<'a> {
    Text(Vec<Option<&'a str>>),
    Number(Vec<Option<i64>>),
    Id(Vec<Option<[u8; 16]>>),
    Flag(Vec<Option<bool>>),
    Bytes(Vec<Option<&'a [u8]>>),
}

impl<S: Statement, const ALL: bool> AllRows<'_, S, ALL> {
    /// `unnest($1::text[], $2::bigint[], …) AS new (name, name, …)`
    fn push_rows<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for (at, column) in self.0.iter().enumerate() {
            out.push_sql(if at == 0 { "unnest(" } else { ", " });
            match column {
                Column::Text(all) => out.push_bind_param::<Array<Nullable<Text>>, _>(all)?,
                Column::Number(all) => out.push_bind_param::<Array<Nullable<BigInt>>, _>(all)?,
                Column::Id(all) => out.push_bind_param::<Array<Nullable<Binary>>, _>(all)?,
                Column::Flag(all) => out.push_bind_param::<Array<Nullable<Bool>>, _>(all)?,
                Column::Bytes(all) => out.push_bind_param::<Array<Nullable<Binary>>, _>(all)?,
            }
            out.push_sql(match column {
                Column::Text(_) => "::text[]",
                Column::Number(_) => "::bigint[]",
                Column::Id(_) | Column::Bytes(_) => "::bytea[]",
                Column::Flag(_) => "::boolean[]",
            });
        }
        for (at, (name, _)) in columns::<S>(ALL).iter().enumerate() {
            out.push_sql(if at == 0 { ") AS new (" } else { ", " });
            out.push_sql(name);
        }
        out.push_sql(")");
        Ok(())
    }
}

impl<S: Statement, const ALL: bool> QueryFragment<Pg> for AllRows<'_, S, ALL> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match S::CHANGE {
            Change::Insert(table) => {
                push_insert::<S, Pg>(&mut out, table, ALL);
                out.push_sql(") SELECT * FROM ");
                self.push_rows(&mut out)?;
                out.push_sql(" ON CONFLICT DO NOTHING");
            }
            Change::Update(text) => {
                let (set, conditions) = text.split_once(" WHERE ").unwrap_or((text, "true"));
                out.push_sql(&named::<S>(set));
                out.push_sql(" FROM ");
                self.push_rows(&mut out)?;
                out.push_sql(" WHERE ");
                out.push_sql(&named::<S>(conditions));
            }
        }
        out.push_sql(" RETURNING ");
        out.push_sql(S::KEY);
        Ok(())
    }
}

/// Replaces each `:name` by `new.name`.
fn named<S: Statement>(text: &str) -> String {
    // Longest first: one name may be a prefix of another.
    let mut names: Vec<&str> = S::COLUMNS.iter().map(|(name, _)| *name).collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.iter().fold(text.to_owned(), |text, name| {
        text.replace(&format!(":{name}"), &format!("new.{name}"))
    })
}

impl<S: Statement, const ALL: bool> QueryId for AllRows<'_, S, ALL> {
    type QueryId = AllRows<'static, S, ALL>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S, const ALL: bool> Query for AllRows<'_, S, ALL> {
    type SqlType = Text;
}
