//! Deliveries with keys: ordering, deduplication, and which delivery blocks which.

use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

use super::Queue;
use crate::model::{DeliveryId, EventId, Millis, State, WebhookId, reason};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::new_rows::NewDelivery;
use crate::store::db::rows::{Change, Kind, Rows, Statement};
use crate::store::db::schema::{counters, deliveries};

/// Condition: an earlier delivery with the same key is open and has not given way. Written as text so that
/// the database recognizes that the partial index over such deliveries applies.
macro_rules! behind {
    ($row:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM deliveries AS earlier WHERE earlier.webhook_id = ",
            $row,
            ".webhook_id AND earlier.order_key = ",
            $row,
            ".order_key AND earlier.state IN ('pending', 'in_flight') AND earlier.seq < ",
            $row,
            ".seq AND earlier.order_attempts > earlier.attempts - earlier.schedule_start)"
        )
    };
}

/// Condition: the delivery has no key, or waits behind nothing. Without a key only one column is read.
pub(super) fn in_order() -> SqlLiteral<Bool> {
    sql(concat!("(deliveries.order_key IS NULL OR NOT ", behind!("deliveries"), ")"))
}

/// How long a delivery that waits behind others is deferred. [`wake_next`] makes it due earlier; this is the
/// fallback for an end that goes unnoticed.
const LOOK_AGAIN_MS: i64 = 20_000;

/// Defers due deliveries that wait behind others; at the front of the due order every claim would scan all of
/// them.
struct Defer;

impl Statement for Defer {
    // The delivery in front may have ended since the check.
    const CHANGE: Change = Change::Update(concat!(
        "UPDATE deliveries AS old SET next_attempt_at = :next_attempt_at, reason = :reason, \
         updated_at = :now WHERE old.id = :id AND ",
        behind!("old")
    ));
    const COLUMNS: &'static [(&'static str, Kind)] = &[
        ("next_attempt_at", Kind::Number),
        ("reason", Kind::Text),
        ("now", Kind::Number),
        ("id", Kind::Id),
    ];
}

/// Defers deliveries that are due and wait behind others with their keys.
pub(super) async fn defer(
    conn: &mut Conn,
    ids: &[DeliveryId],
    now: Millis,
) -> Result<(), StoreError> {
    let mut rows = Rows::<Defer>::new();
    for id in ids {
        let again_at = now.plus_ms(LOOK_AGAIN_MS);
        rows.push([again_at.into(), reason::WAITS_IN_ORDER.into(), now.into(), id.0.into()]);
    }
    rows.send(conn).await?;
    Ok(())
}

/// A delivery's place among those with its key; none if it has no key or is gone.
async fn place_of(
    conn: &mut Conn,
    id: DeliveryId,
) -> Result<Option<(WebhookId, String, i64)>, StoreError> {
    let found = run!(conn, |c| deliveries::table
        .find(id)
        .filter(deliveries::order_key.is_not_null())
        .select((deliveries::webhook_id, deliveries::order_key, deliveries::seq))
        .first::<(WebhookId, Option<String>, Option<i64>)>(c))
    .optional()?;
    Ok(found.and_then(|(webhook_id, key, seq)| Some((webhook_id, key?, seq?))))
}

/// Makes the next delivery that was deferred behind this one due, if it waits behind nothing else.
pub(crate) async fn wake_next(
    conn: &mut Conn,
    id: DeliveryId,
    now: Millis,
) -> Result<(), StoreError> {
    let Some((webhook_id, key, seq)) = place_of(conn, id).await? else { return Ok(()) };
    let waits = deliveries::reason.eq(reason::WAITS_IN_ORDER);
    let next = run!(conn, |c| deliveries::table
        .filter(deliveries::webhook_id.eq(webhook_id))
        .filter(deliveries::order_key.eq(&key))
        .filter(sql::<Bool>("state IN ('pending', 'in_flight')"))
        .filter(deliveries::seq.gt(seq))
        // One that gave way waits for its own time.
        .filter(sql::<Bool>("order_attempts > attempts - schedule_start"))
        .filter(waits.or(deliveries::next_attempt_at.le(now)))
        .order(deliveries::seq.asc())
        .select(deliveries::id)
        .first::<DeliveryId>(c))
    .optional()?;
    let Some(next) = next else { return Ok(()) };
    // Includes one that is already due: a claim about to defer it holds its row lock and ends first.
    run!(conn, |c| diesel::update(deliveries::table.find(next))
        .filter(deliveries::state.eq(State::Pending))
        .filter(in_order())
        .set((
            deliveries::next_attempt_at.eq(Some(now)),
            deliveries::reason.eq(None::<&str>),
            deliveries::updated_at.eq(now),
        ))
        .execute(c))?;
    Ok(())
}

/// Sequence numbers for one transaction's deliveries with keys.
pub(crate) struct Places(std::ops::Range<i64>);

impl Places {
    /// The delivery's place among those with its keys; none if it has no keys.
    pub(crate) fn next(&mut self, delivery: &NewDelivery) -> Option<i64> {
        delivery.keys.as_ref().and_then(|_| self.0.next())
    }
}

/// Reserves places for these deliveries, behind all places given out before. No other transaction gets any
/// until this one has ended, so their order is the order of commits, on any number of nodes and whatever
/// their clocks show. A transaction reserves places before it changes deliveries.
pub(crate) async fn places(
    conn: &mut Conn,
    deliveries: impl Iterator<Item = &NewDelivery>,
) -> Result<Places, StoreError> {
    let count = deliveries.filter(|delivery| delivery.keys.is_some()).count();
    if count == 0 {
        return Ok(Places(0..0));
    }
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let last = run!(conn, |c| diesel::update(counters::table.find("delivery_seq"))
        .set(counters::value.eq(counters::value + count))
        .returning(counters::value)
        .get_result::<i64>(c))?;
    let first = last - count + 1;
    Ok(Places(first..first + count))
}

/// A delivery that blocks another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Before {
    pub delivery_id: DeliveryId,
    pub event_id: EventId,
}

impl Queue {
    /// The delivery that this one waits for: it has the same key and came first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn held_back_by(&self, id: DeliveryId) -> Result<Option<Before>, StoreError> {
        let mut lease = self.db.read().await?;
        let place = place_of(lease.conn(), id).await?;
        let before = match place {
            Some((webhook_id, key, seq)) => run!(lease.conn(), |c| deliveries::table
                .filter(deliveries::webhook_id.eq(webhook_id))
                .filter(deliveries::order_key.eq(&key))
                .filter(sql::<Bool>("state IN ('pending', 'in_flight')"))
                .filter(deliveries::seq.lt(seq))
                .filter(sql::<Bool>("order_attempts > attempts - schedule_start"))
                .order(deliveries::seq.asc())
                .select((deliveries::id, deliveries::event_id))
                .first::<(DeliveryId, EventId)>(c))
            .optional()?,
            None => None,
        };
        lease.give_back();
        Ok(before.map(|(delivery_id, event_id)| Before { delivery_id, event_id }))
    }
}

/// A delivery that may be a duplicate.
struct Keyed {
    id: DeliveryId,
    webhook_id: WebhookId,
    key: String,
    since: Millis,
    created_at: Millis,
    seq: i64,
}

/// Drops those of `ids` that are duplicates of another delivery with the same key: one that came earlier, is
/// in flight, or was already attempted. Returns the others.
pub(super) async fn without_duplicates(
    conn: &mut Conn,
    ids: Vec<DeliveryId>,
    now: Millis,
) -> Result<Vec<DeliveryId>, StoreError> {
    let mut dropped = Vec::new();
    for keyed in load_keyed(conn, &ids).await? {
        let Some(first) = first_of(conn, &keyed).await? else { continue };
        let window_s = (keyed.created_at.0 - keyed.since.0) / 1_000;
        let reason =
            format!("a duplicate: the event {first} with the same key came within {window_s} s");
        run!(conn, |c| diesel::update(deliveries::table.find(keyed.id))
            .set((
                deliveries::state.eq(State::Dropped),
                deliveries::reason.eq(Some(&reason)),
                deliveries::stage.eq(Some("route")),
                deliveries::next_attempt_at.eq(None::<i64>),
                deliveries::updated_at.eq(now),
            ))
            .execute(c))?;
        wake_next(conn, keyed.id, now).await?;
        dropped.push(keyed.id);
    }
    Ok(ids.into_iter().filter(|id| !dropped.contains(id)).collect())
}

async fn load_keyed(conn: &mut Conn, ids: &[DeliveryId]) -> Result<Vec<Keyed>, StoreError> {
    type Row = (DeliveryId, WebhookId, Option<String>, Option<Millis>, Millis, Option<i64>);
    let rows = run!(conn, |c| deliveries::table
        .filter(deliveries::id.eq_any(ids))
        .filter(deliveries::dedupe_key.is_not_null())
        .filter(deliveries::attempts.eq(0))
        .order(deliveries::seq.asc())
        .select((
            deliveries::id,
            deliveries::webhook_id,
            deliveries::dedupe_key,
            deliveries::dedupe_since,
            deliveries::created_at,
            deliveries::seq,
        ))
        .load::<Row>(c))?;
    let keyed = rows.into_iter().filter_map(|(id, webhook_id, key, since, created_at, seq)| {
        Some(Keyed { id, webhook_id, key: key?, since: since?, created_at, seq: seq? })
    });
    Ok(keyed.collect())
}

/// The event of the delivery that makes this one a duplicate. A delivery that failed, was cancelled or missed
/// does not count: then this one is still needed.
async fn first_of(conn: &mut Conn, keyed: &Keyed) -> Result<Option<EventId>, StoreError> {
    let first = run!(conn, |c| deliveries::table
        .filter(deliveries::webhook_id.eq(keyed.webhook_id))
        .filter(deliveries::dedupe_key.eq(&keyed.key))
        .filter(deliveries::created_at.ge(keyed.since))
        .filter(deliveries::dedupe_since.le(keyed.created_at))
        .filter(deliveries::id.ne(keyed.id))
        .filter(sql::<Bool>("state IN ('pending', 'in_flight', 'delivered')"))
        .filter(
            deliveries::seq
                .lt(keyed.seq)
                .assume_not_null()
                .or(deliveries::state.ne(State::Pending))
                .or(deliveries::attempts.gt(0))
        )
        .order(deliveries::created_at.asc())
        .select(deliveries::event_id)
        .first::<EventId>(c))
    .optional()?;
    Ok(first)
}
