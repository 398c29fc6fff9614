//! The table of deliveries: its rows as they are written and read, single ones and lists.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::History;
use super::attempts;
use crate::model::{
    Delivery, DeliveryId, Event, EventId, EventKey, Frozen, Millis, State, TenantId, WebhookId,
};
use crate::store::db::columns::{count_of, storable};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::new_rows::{NewDelivery, Owner};
use crate::store::db::page::{Page, Place, page, rows_to_ask};
use crate::store::db::rows::{Change, Kind, Rows, Statement};
use crate::store::db::schema::deliveries;

/// Filter of a list of deliveries; a field that is none matches everything.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct DeliveryFilter {
    pub event_id: Option<EventId>,
    pub webhook_id: Option<WebhookId>,
    pub state: Option<State>,
    pub subject: Option<String>,
    /// Created at or after.
    pub since: Option<Millis>,
    /// Created before.
    pub until: Option<Millis>,
}

/// A delivery with its frozen request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredDelivery {
    pub delivery: Delivery,
    pub frozen: Option<Frozen>,
    /// Attempts that the retry schedule does not count: those before it was last restarted.
    pub schedule_start: u32,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = deliveries)]
pub(crate) struct Row {
    pub(crate) id: DeliveryId,
    tenant: TenantId,
    event_source: String,
    event_id: EventId,
    pub(super) webhook_id: WebhookId,
    state: State,
    reason: Option<String>,
    stage: Option<String>,
    attempts: i64,
    schedule_start: i64,
    next_attempt_at: Option<Millis>,
    subject: Option<String>,
    created_at: Millis,
    order_key: Option<String>,
}

impl Row {
    pub(crate) fn schedule_start(&self) -> u32 {
        count_of(self.schedule_start)
    }

    pub(crate) fn event_key(&self) -> EventKey {
        EventKey {
            tenant: self.tenant.clone(),
            source: self.event_source.clone(),
            id: self.event_id.clone(),
        }
    }

    pub(crate) fn delivery(self) -> Delivery {
        Delivery {
            id: self.id,
            event: EventKey { tenant: self.tenant, source: self.event_source, id: self.event_id },
            webhook_id: self.webhook_id,
            state: self.state,
            // On a delivery in flight the column is a cancel request: `state_changes.rs`.
            reason: self.reason,
            stage: self.stage,
            attempts: count_of(self.attempts),
            next_attempt_at: self.next_attempt_at,
            created_at: self.created_at,
            subject: self.subject,
            order_key: self.order_key,
        }
    }
}

/// Redundant next to the filter on `state`. Literal SQL, so that the database can use the partial index over
/// the few rows that are not delivered.
pub(crate) fn unsent() -> diesel::expression::SqlLiteral<diesel::sql_types::Bool> {
    diesel::dsl::sql("state NOT IN ('delivered', 'in_flight')")
}

impl History {
    /// Deliveries of a tenant, newest first.
    ///
    /// # Errors
    /// `BadCursor`, `Unavailable`.
    pub async fn list_deliveries(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<Delivery>, StoreError> {
        let after = match cursor {
            Some(cursor) => {
                let place = Place::parse(cursor)?;
                let id: DeliveryId = place.tie.parse().map_err(|_| StoreError::BadCursor)?;
                Some((place.at, id))
            }
            None => None,
        };
        let mut lease = self.db.read().await?;
        let rows = run!(lease.conn(), |c, Db| {
            let mut query = deliveries::table
                .select(Row::as_select())
                .filter(deliveries::tenant.eq(tenant))
                .order((deliveries::created_at.desc(), deliveries::id.desc()))
                .limit(rows_to_ask(limit))
                .into_boxed::<Db>();
            if let Some((at, id)) = after {
                query = query
                    .filter(deliveries::created_at.le(at))
                    .filter(deliveries::created_at.lt(at).or(deliveries::id.lt(id)));
            }
            if let Some(event_id) = &filter.event_id {
                query = query.filter(deliveries::event_id.eq(event_id));
            }
            if let Some(webhook_id) = filter.webhook_id {
                query = query.filter(deliveries::webhook_id.eq(webhook_id));
            }
            if let Some(state) = filter.state {
                query = query.filter(deliveries::state.eq(state));
                if !matches!(state, State::Delivered | State::InFlight) {
                    query = query.filter(unsent());
                }
            }
            if let Some(subject) = &filter.subject {
                query = query.filter(deliveries::subject.eq(subject));
            }
            if let Some(since) = filter.since {
                query = query.filter(deliveries::created_at.ge(since));
            }
            if let Some(until) = filter.until {
                query = query.filter(deliveries::created_at.lt(until));
            }
            query.load::<Row>(c)
        })?;
        lease.give_back();
        let rows = rows.into_iter().map(Row::delivery).collect();
        Ok(page(rows, limit, |d: &Delivery| Place { at: d.created_at, tie: d.id.to_string() }))
    }

    /// One delivery of a tenant, without its request.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn show_delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
    ) -> Result<Delivery, StoreError> {
        let mut lease = self.db.read().await?;
        let found = row(lease.conn(), tenant, id).await?;
        lease.give_back();
        found.map(Row::delivery).ok_or(StoreError::NotFound)
    }

    /// One delivery of a tenant.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unavailable`.
    pub async fn get_delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
    ) -> Result<StoredDelivery, StoreError> {
        let mut lease = self.db.read().await?;
        let found = row(lease.conn(), tenant, id).await?;
        let frozen = attempts::frozen(lease.conn(), id).await?;
        lease.give_back();
        let row = found.ok_or(StoreError::NotFound)?;
        Ok(StoredDelivery {
            frozen,
            schedule_start: row.schedule_start(),
            delivery: row.delivery(),
        })
    }
}

async fn row(
    conn: &mut Conn,
    tenant: &TenantId,
    id: DeliveryId,
) -> Result<Option<Row>, StoreError> {
    Ok(run!(conn, |c| deliveries::table
        .find(id)
        .filter(deliveries::tenant.eq(tenant))
        .select(Row::as_select())
        .first::<Row>(c))
    .optional()?)
}

/// Inserts deliveries.
pub(crate) struct InsertDeliveries;

impl Statement for InsertDeliveries {
    const CHANGE: Change = Change::Insert("deliveries");
    const COLUMNS: &'static [(&'static str, Kind)] = &[
        ("id", Kind::Id),
        ("tenant", Kind::Text),
        ("event_source", Kind::Text),
        ("event_id", Kind::Text),
        ("webhook_id", Kind::Id),
        ("state", Kind::Text),
        ("attempts", Kind::Number),
        ("schedule_start", Kind::Number),
        ("owner_node", Kind::Text),
        ("owner_epoch", Kind::Number),
        ("created_at", Kind::Number),
        ("updated_at", Kind::Number),
        ("reason", Kind::Text),
        ("next_attempt_at", Kind::Number),
        ("subject", Kind::Text),
        ("seq", Kind::Number),
        ("order_key", Kind::Text),
        ("order_attempts", Kind::Number),
        ("dedupe_key", Kind::Text),
        ("dedupe_since", Kind::Number),
        ("stage", Kind::Text),
    ];
    const SELDOM: usize = 9;
    const KEY: &'static str = "encode(id, 'hex')";
}

pub(crate) fn push_delivery(
    rows: &mut Rows<InsertDeliveries>,
    event: &Event,
    delivery: &NewDelivery,
    seq: Option<i64>,
    owner: &Owner,
    now: Millis,
) {
    let key = &event.key;
    let in_flight = delivery.state == State::InFlight;
    let pending = delivery.state == State::Pending;
    let keys = delivery.keys.as_deref();
    let order = keys.and_then(|keys| keys.order.as_ref());
    let dedupe = keys.and_then(|keys| keys.dedupe.as_ref());
    rows.push([
        delivery.id.0.into(),
        key.tenant.as_str().into(),
        key.source.as_str().into(),
        key.id.as_str().into(),
        delivery.webhook_id.0.into(),
        delivery.state.as_str().into(),
        0.into(),
        0.into(),
        in_flight.then_some(owner.node.as_str()).into(),
        in_flight.then_some(owner.epoch).into(),
        now.into(),
        now.into(),
        // On a delivery in flight a reason is a cancel request: `state_changes.rs`.
        delivery.reason.as_deref().filter(|_| !in_flight).into(),
        delivery.next_attempt_at.filter(|_| pending).into(),
        event.subject().map(storable).into(),
        seq.into(),
        order.map(|order| storable(&order.key)).into(),
        order.map(|order| i64::from(order.gives_way_attempts)).into(),
        dedupe.map(|(key, _)| storable(key)).into(),
        dedupe.map(|(_, since)| *since).into(),
        // A delivery that begins as failed was never decided upon.
        (delivery.state == State::Failed).then_some("route").into(),
    ]);
}
