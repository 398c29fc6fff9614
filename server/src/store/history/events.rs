//! The table of events: its rows as they are written and read.

use antar_json::Document;
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;

use super::History;
use crate::model::{Attributes, Event, EventId, EventKey, EventType, Hops, Millis, Root, TenantId};
use crate::store::db::columns::{count_of, storable};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::new_rows::NewEvent;
use crate::store::db::row_value::Cell;
use crate::store::db::rows::{Change, Kind, Rows, Statement};
use crate::store::db::schema::events;

/// Filter of a list of events; a field that is none matches everything.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct EventFilter {
    pub id: Option<EventId>,
    pub event_type: Option<EventType>,
    pub subject: Option<String>,
    /// Accepted at or after.
    pub since: Option<Millis>,
    /// Accepted before.
    pub until: Option<Millis>,
}

/// An event as it was accepted.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// If the data is not stored, data and attributes are empty.
    pub event: Event,
    pub accepted_at: Millis,
    /// Number of deliveries created when it was accepted.
    pub deliveries: u32,
    /// Why it was dropped at intake.
    pub dropped_reason: Option<String>,
    /// False for a dropped event, and after retention has removed the data.
    pub data_kept: bool,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = events)]
pub(crate) struct Row {
    tenant: TenantId,
    source: String,
    id: EventId,
    event_type: EventType,
    timestamp: Millis,
    attributes: String,
    data: Option<String>,
    schema_ok: bool,
    accepted_at: Millis,
    deliveries: i64,
    dropped_reason: Option<String>,
    hops: Option<i64>,
    root: Option<i64>,
    fanout: Option<i64>,
}

impl Row {
    pub(crate) fn event(self) -> Result<StoredEvent, StoreError> {
        let corrupt = |error: antar_json::ParseError| StoreError::Corrupt(error.to_string());
        let attributes: Document = self.attributes.parse().map_err(corrupt)?;
        let data_kept = self.data.is_some();
        let data: Document = self.data.as_deref().unwrap_or("{}").parse().map_err(corrupt)?;
        let key = EventKey { tenant: self.tenant, source: self.source, id: self.id };
        let attributes = attributes_of(&attributes);
        let mut event = Event::new(key, self.event_type, self.timestamp, attributes, data.root());
        event.schema_ok = self.schema_ok;
        event.hops = Hops {
            count: count_of(self.hops.unwrap_or_default()),
            root: self.root.map(|root| Root(root.cast_unsigned())),
        };
        event.fanout = count_of(self.fanout.unwrap_or(self.deliveries));
        Ok(StoredEvent {
            event,
            accepted_at: self.accepted_at,
            deliveries: count_of(self.deliveries),
            dropped_reason: self.dropped_reason,
            data_kept,
        })
    }
}

fn attributes_of(document: &Document) -> Attributes {
    let text = |value: antar_json::Value<'_>| value.as_str().map(std::borrow::Cow::into_owned);
    document
        .root()
        .members()
        .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
        .collect()
}

/// The newest event of an id, of one source if that is given, in a boxed query.
macro_rules! newest {
    ($query:expr, $tenant:expr, $id:expr, $source:expr) => {{
        let mut query = $query
            .filter(events::tenant.eq($tenant))
            .filter(events::id.eq($id))
            .order(events::accepted_at.desc());
        if let Some(source) = $source {
            query = query.filter(events::source.eq(source));
        }
        query
    }};
}
pub(super) use newest;

impl History {
    /// One event of a tenant. Without a source, the newest one with this id.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unavailable`.
    pub async fn get_event(
        &self,
        tenant: &TenantId,
        id: &EventId,
        source: Option<&str>,
    ) -> Result<StoredEvent, StoreError> {
        let mut lease = self.db.read().await?;
        let row = run!(lease.conn(), |c, Db| {
            let query = events::table.select(Row::as_select()).into_boxed::<Db>();
            newest!(query, tenant, id, source).first::<Row>(c)
        })
        .optional()?;
        lease.give_back();
        row.ok_or(StoreError::NotFound)?.event()
    }
}

/// Bytes of an event's texts. Neither database reads a text to know its length.
pub(crate) fn bytes() -> SqlLiteral<BigInt> {
    sql("CAST(octet_length(attributes) + coalesce(octet_length(data), 0) AS BIGINT)")
}

/// The same for the event of a delivery, in a query of deliveries.
pub(crate) fn bytes_of_delivery() -> SqlLiteral<BigInt> {
    sql(
        "CAST(coalesce((SELECT octet_length(attributes) + coalesce(octet_length(data), 0) FROM events \
           WHERE tenant = deliveries.tenant AND id = deliveries.event_id \
           AND source = deliveries.event_source), 0) AS BIGINT)",
    )
}

/// The stored events with these keys, in no particular order.
pub(crate) async fn load(
    conn: &mut Conn,
    keys: &[EventKey],
) -> Result<Vec<StoredEvent>, StoreError> {
    let unique = |mut texts: Vec<String>| {
        texts.sort_unstable();
        texts.dedup();
        texts
    };
    let tenants = unique(keys.iter().map(|key| key.tenant.as_str().to_owned()).collect());
    let ids = unique(keys.iter().map(|key| key.id.as_str().to_owned()).collect());
    let whole = unique(keys.iter().map(key_text).collect());
    // The index is by tenant and id. A tenant may have many events of one id, of different sources.
    let rows = run!(conn, |c| events::table
        .select(Row::as_select())
        .filter(events::tenant.eq_any(&tenants))
        .filter(events::id.eq_any(&ids))
        .filter(sql::<Text>(InsertEvents::KEY).eq_any(&whole))
        .load::<Row>(c))?;
    rows.into_iter().map(Row::event).collect()
}

/// A key as [`InsertEvents`] spells it.
pub(super) fn key_text(key: &EventKey) -> String {
    format!("{} {}\n{}", key.tenant, key.id, key.source)
}

/// Inserts events. The key has all columns of the index `events_key`; tenants contain no space, and event ids
/// no line break.
pub(crate) struct InsertEvents;

impl Statement for InsertEvents {
    const CHANGE: Change = Change::Insert("events");
    const COLUMNS: &'static [(&'static str, Kind)] = &[
        ("tenant", Kind::Text),
        ("source", Kind::Text),
        ("id", Kind::Text),
        ("event_type", Kind::Text),
        ("timestamp", Kind::Number),
        ("attributes", Kind::Text),
        ("data", Kind::Text),
        ("schema_ok", Kind::Flag),
        ("accepted_at", Kind::Number),
        ("deliveries", Kind::Number),
        ("subject", Kind::Text),
        ("dropped_reason", Kind::Text),
        ("hops", Kind::Number),
        ("root", Kind::Number),
        ("fanout", Kind::Number),
    ];
    const SELDOM: usize = 5;
    const KEY: &'static str = "tenant || ' ' || id || '\n' || source";

    fn key(row: &[Cell<'_>]) -> String {
        format!("{} {}\n{}", row[0].spelled(), row[2].spelled(), row[1].spelled())
    }
}

pub(crate) fn push_event(rows: &mut Rows<InsertEvents>, new: &NewEvent) {
    let event = &*new.event;
    let dropped = new.dropped_reason.is_some();
    let deliveries = i64::try_from(new.deliveries.len()).unwrap_or(i64::MAX);
    let attributes = event.document.root().get("attributes").filter(|_| !dropped);
    rows.push([
        event.key.tenant.as_str().into(),
        event.key.source.as_str().into(),
        event.key.id.as_str().into(),
        event.event_type.as_str().into(),
        event.timestamp.into(),
        attributes.map_or("{}", |attributes| attributes.raw()).into(),
        (!dropped).then(|| event.data().raw()).into(),
        event.schema_ok.into(),
        new.accepted_at.into(),
        deliveries.into(),
        event.subject().filter(|_| !dropped).map(storable).into(),
        new.dropped_reason.as_deref().map(storable).into(),
        (event.hops.count > 0).then(|| i64::from(event.hops.count)).into(),
        event.hops.root.map(|Root(root)| root.cast_signed()).into(),
        (i64::from(event.fanout) > deliveries).then(|| i64::from(event.fanout)).into(),
    ]);
}
