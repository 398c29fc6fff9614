//! Events as lists show them. Their texts are not parsed, and their sizes are known before their data is read:
//! a page holds a bounded number of bytes.

use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

use super::History;
use super::events::{self as of_events, EventFilter, newest};
use crate::model::{EventId, EventType, Millis, TenantId};
use crate::store::db::columns::count_of;
use crate::store::db::conn::run;
use crate::store::db::error::StoreError;
use crate::store::db::page::{Page, PageSize, Place, rows_to_ask};
use crate::store::db::schema::events;

/// An event as it was accepted; JSON texts as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedEvent {
    pub source: String,
    pub id: EventId,
    pub event_type: EventType,
    pub timestamp: Millis,
    /// `{}` if the data is not stored.
    pub attributes: String,
    /// None: not asked for, or not stored.
    pub data: Option<String>,
    pub schema_ok: bool,
    pub accepted_at: Millis,
    /// Number of deliveries created when it was accepted.
    pub deliveries: u32,
    /// Deliveries of Antar that it had passed through before.
    pub hops: u32,
    /// Why a plugin dropped it at intake.
    pub dropped_reason: Option<String>,
    /// False for a dropped event, and after retention has removed the data.
    pub data_kept: bool,
}

#[derive(Queryable)]
struct Row {
    source: String,
    id: EventId,
    event_type: EventType,
    timestamp: Millis,
    attributes: String,
    data: Option<String>,
    schema_ok: bool,
    accepted_at: Millis,
    deliveries: i64,
    hops: Option<i64>,
    dropped_reason: Option<String>,
    data_kept: bool,
}

impl Row {
    fn event(self) -> ListedEvent {
        ListedEvent {
            source: self.source,
            id: self.id,
            event_type: self.event_type,
            timestamp: self.timestamp,
            attributes: self.attributes,
            data: self.data,
            schema_ok: self.schema_ok,
            accepted_at: self.accepted_at,
            deliveries: count_of(self.deliveries),
            hops: count_of(self.hops.unwrap_or_default()),
            dropped_reason: self.dropped_reason,
            data_kept: self.data_kept,
        }
    }
}

/// The columns of [`Row`].
macro_rules! columns {
    ($with_data:expr) => {
        (
            events::source,
            events::id,
            events::event_type,
            events::timestamp,
            events::attributes,
            diesel::dsl::case_when($with_data.into_sql::<diesel::sql_types::Bool>(), events::data),
            events::schema_ok,
            events::accepted_at,
            events::deliveries,
            events::hops,
            events::dropped_reason,
            events::data.is_not_null(),
        )
    };
}

fn bytes(with_data: bool) -> SqlLiteral<BigInt> {
    if with_data { of_events::bytes() } else { sql("CAST(octet_length(attributes) AS BIGINT)") }
}

/// The events that a filter means, newest first, in a boxed query.
macro_rules! meant {
    ($query:expr, $tenant:expr, $filter:expr, $after:expr) => {{
        let mut query = $query.filter(events::tenant.eq($tenant)).order((
            events::accepted_at.desc(),
            events::id.desc(),
            events::source.desc(),
        ));
        if let Some((at, id, source)) = $after {
            let same_id = events::id.eq(id).and(events::source.lt(source));
            query = query
                .filter(events::accepted_at.le(*at))
                .filter(events::accepted_at.lt(*at).or(events::id.lt(id)).or(same_id));
        }
        if let Some(id) = &$filter.id {
            query = query.filter(events::id.eq(id));
        }
        if let Some(event_type) = &$filter.event_type {
            query = query.filter(events::event_type.eq(event_type));
        }
        if let Some(subject) = &$filter.subject {
            query = query.filter(events::subject.eq(subject));
        }
        if let Some(since) = $filter.since {
            query = query.filter(events::accepted_at.ge(since));
        }
        if let Some(until) = $filter.until {
            query = query.filter(events::accepted_at.lt(until));
        }
        query
    }};
}

impl History {
    /// Events of a tenant, newest first; `with_data`: with the data of those that still have it.
    ///
    /// # Errors
    /// `BadCursor`, `Unavailable`.
    pub async fn list_events(
        &self,
        tenant: &TenantId,
        filter: &EventFilter,
        with_data: bool,
        size: PageSize,
        cursor: Option<&str>,
    ) -> Result<Page<ListedEvent>, StoreError> {
        let after = cursor.map(after).transpose()?;
        let mut lease = self.db.read().await?;
        let conn = lease.conn();
        // Both queries see the same events.
        conn.begin_read().await?;
        let sizes = run!(conn, |c, Db| {
            let query = events::table.select(bytes(with_data)).into_boxed::<Db>();
            let query = meant!(query, tenant, filter, &after);
            query.limit(rows_to_ask(size.rows_max)).load::<i64>(c)
        })?;
        let (found, fitting) = (sizes.len(), size.fitting(sizes));
        let rows = run!(conn, |c, Db| {
            let query = events::table.select(columns!(with_data)).into_boxed::<Db>();
            let query = meant!(query, tenant, filter, &after);
            query.limit(i64::try_from(fitting).unwrap_or(i64::MAX)).load::<Row>(c)
        })?;
        conn.commit().await?;
        lease.give_back();
        let data: Vec<_> = rows.into_iter().map(Row::event).collect();
        let last = data.last().filter(|_| found > fitting);
        let next_cursor = last.map(|event| {
            // Sources may have any character.
            let tie = format!("{}/{}{}", event.id.as_str().len(), event.id, event.source);
            Place { at: event.accepted_at, tie }.cursor()
        });
        Ok(Page { data, next_cursor })
    }

    /// One event of a tenant with its data. Without a source, the newest one with this id.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn show_event(
        &self,
        tenant: &TenantId,
        id: &EventId,
        source: Option<&str>,
    ) -> Result<ListedEvent, StoreError> {
        let mut lease = self.db.read().await?;
        let row = run!(lease.conn(), |c, Db| {
            let query = events::table.select(columns!(true)).into_boxed::<Db>();
            newest!(query, tenant, id, source).first::<Row>(c)
        })
        .optional()?;
        lease.give_back();
        row.map(Row::event).ok_or(StoreError::NotFound)
    }
}

/// The event after which a page begins.
fn after(cursor: &str) -> Result<(Millis, String, String), StoreError> {
    let place = Place::parse(cursor)?;
    let tie = place.tie.split_once('/').and_then(|(length, texts)| {
        let (id, source) = texts.split_at_checked(length.parse().ok()?)?;
        Some((place.at, id.to_owned(), source.to_owned()))
    });
    tie.ok_or(StoreError::BadCursor)
}
