//! Retention: removes old events or their payloads in small transactions. Events with open deliveries stay.

use std::collections::{HashMap, HashSet};

use diesel::dsl::{not, sql};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::RunQueryDsl;

use super::History;
use super::events::key_text;
use crate::model::{DeliveryId, EventId, EventKey, Millis, TenantId};
use crate::store::db::conn::{Conn, each, load_to_change, run};
use crate::store::db::error::StoreError;
use crate::store::db::schema::{attempts, deliveries, events};

/// Selects old events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Old {
    pub tenant: TenantId,
    pub types: OldTypes,
    /// Accepted before.
    pub before: Millis,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OldTypes {
    Only(String),
    AllBut(Vec<String>),
}

impl OldTypes {
    /// The only type, and the excluded types.
    fn parts(&self) -> (Option<&str>, &[String]) {
        match self {
            OldTypes::Only(name) => (Some(name), &[]),
            OldTypes::AllBut(names) => (None, names),
        }
    }
}

/// Progress of a pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pass {
    /// Events that were deleted, or lost their payload.
    pub changed: usize,
    /// Where the next pass continues; none: nothing is left.
    pub next: Option<Millis>,
}

/// When the oldest events of a type were accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Queryable)]
pub struct Oldest {
    pub event: Millis,
    /// The oldest one that still has its data.
    pub with_data: Option<Millis>,
}

/// Deliveries that one transaction deletes or empties: others are written in between.
const DELIVERIES_AT_ONCE: usize = 500;

/// What happens to old events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Delete,
    /// They lose their data, and their attempts what was sent and came back.
    Empty,
}

impl History {
    /// Deletes up to `limit` old events that were accepted at or after `from`, with their deliveries
    /// and attempts.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn delete_old(
        &self,
        old: &Old,
        from: Millis,
        limit: usize,
    ) -> Result<Pass, StoreError> {
        self.change_old(old, from, limit, What::Delete).await
    }

    /// Removes data and attributes of up to `limit` old events that were accepted at or after `from`, with
    /// the frozen requests and response bodies of their attempts.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn empty_old(
        &self,
        old: &Old,
        from: Millis,
        limit: usize,
    ) -> Result<Pass, StoreError> {
        self.change_old(old, from, limit, What::Empty).await
    }

    /// Finds the events by reading only; then changes their deliveries, some in each transaction, and then the
    /// events without open deliveries. What is interrupted is found again.
    async fn change_old(
        &self,
        old: &Old,
        from: Millis,
        limit: usize,
        what: What,
    ) -> Result<Pass, StoreError> {
        let mut lease = self.db.read().await?;
        let found = find(lease.conn(), old, from, limit, what == What::Empty).await?;
        let keys = without_open(lease.conn(), &old.tenant, &found).await?;
        lease.give_back();
        if keys.is_empty() {
            return Ok(pass(&found, 0, limit));
        }
        let names: Vec<String> = keys.iter().map(key_text).collect();
        let mut after = DeliveryId(uuid::Uuid::nil());
        loop {
            let mut lease = self.db.read().await?;
            let ids = deliveries_after(lease.conn(), &old.tenant, &keys, &names, after).await?;
            lease.give_back();
            let Some(last) = ids.last() else { break };
            after = *last;
            let count = ids.len();
            self.db.write(move |conn| Box::pin(change_deliveries(conn, ids, what))).await?;
            if count < DELIVERIES_AT_ONCE {
                break;
            }
        }
        let changed = self.db.write(move |conn| Box::pin(change_events(conn, keys, what))).await?;
        Ok(pass(&found, changed, limit))
    }

    /// When the oldest events of each type were accepted, by one look at all events of the tenant.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn oldest_by_type(
        &self,
        tenant: &TenantId,
    ) -> Result<HashMap<String, Oldest>, StoreError> {
        let mut lease = self.db.read().await?;
        let with_data =
            sql::<Nullable<BigInt>>("min(CASE WHEN data IS NOT NULL THEN accepted_at END)");
        let rows = run!(lease.conn(), |c| events::table
            .filter(events::tenant.eq(tenant))
            .group_by(events::event_type)
            .select((
                events::event_type,
                diesel::dsl::min(events::accepted_at).assume_not_null(),
                with_data,
            ))
            .load::<(String, Millis, Option<Millis>)>(c))?;
        lease.give_back();
        let oldest = |(name, event, with_data)| (name, Oldest { event, with_data });
        Ok(rows.into_iter().map(oldest).collect())
    }

    /// When the oldest event of these types was accepted. `with_data`: only events that still have data.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn oldest_event(
        &self,
        tenant: &TenantId,
        types: &OldTypes,
        with_data: bool,
    ) -> Result<Option<Millis>, StoreError> {
        let (only, all_but) = types.parts();
        let mut lease = self.db.read().await?;
        let oldest = run!(lease.conn(), |c| events::table
            .filter(events::tenant.eq(tenant))
            .filter(
                events::event_type
                    .eq(only.unwrap_or_default())
                    .or(only.is_none().into_sql::<Bool>()),
            )
            .filter(events::event_type.ne_all(all_but))
            .filter(events::data.is_not_null().or((!with_data).into_sql::<Bool>()))
            .order(events::accepted_at.asc())
            .select(events::accepted_at)
            .first::<Millis>(c))
        .optional()?;
        lease.give_back();
        Ok(oldest)
    }

    /// Bytes in use in SQLite's file; none on PostgreSQL, which shares its space with other databases and
    /// frees it later.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn used_bytes(&self) -> Result<Option<u64>, StoreError> {
        let mut lease = self.db.read().await?;
        let used = lease.conn().used_bytes().await?;
        lease.give_back();
        Ok(used)
    }
}

async fn find(
    conn: &mut Conn,
    old: &Old,
    from: Millis,
    limit: usize,
    with_data: bool,
) -> Result<Vec<(EventKey, Millis)>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (only, all_but) = old.types.parts();
    let query = events::table
        .filter(events::tenant.eq(&old.tenant))
        .filter(events::accepted_at.ge(from))
        .filter(events::accepted_at.lt(old.before))
        .filter(
            events::event_type.eq(only.unwrap_or_default()).or(only.is_none().into_sql::<Bool>()),
        )
        .filter(events::event_type.ne_all(all_but))
        .filter(events::data.is_not_null().or((!with_data).into_sql::<Bool>()))
        .order((events::accepted_at.asc(), events::id.asc()))
        .limit(limit)
        .select((events::id, events::source, events::accepted_at));
    let rows = run!(conn, |c| query.load::<(EventId, String, Millis)>(c))?;
    let tenant = &old.tenant;
    let key = |(id, source, at)| (EventKey { tenant: tenant.clone(), source, id }, at);
    Ok(rows.into_iter().map(key).collect())
}

/// Those of the events that have no open deliveries.
async fn without_open(
    conn: &mut Conn,
    tenant: &TenantId,
    found: &[(EventKey, Millis)],
) -> Result<Vec<EventKey>, StoreError> {
    let ids: HashSet<&EventId> = found.iter().map(|(key, _)| &key.id).collect();
    let ids: Vec<&EventId> = ids.into_iter().collect();
    let rows = run!(conn, |c| deliveries::table
        .filter(deliveries::tenant.eq(tenant))
        .filter(deliveries::event_id.eq_any(&ids))
        .filter(open())
        .select((deliveries::event_id, deliveries::event_source))
        .distinct()
        .load::<(EventId, String)>(c))?;
    let open: HashSet<(EventId, String)> = rows.into_iter().collect();
    let is_open = |key: &EventKey| open.contains(&(key.id.clone(), key.source.clone()));
    Ok(found.iter().map(|(key, _)| key.clone()).filter(|key| !is_open(key)).collect())
}

/// Still to be attempted.
fn open() -> SqlLiteral<Bool> {
    sql("state IN ('pending', 'in_flight')")
}

/// The next deliveries of these events, in the order of their ids.
async fn deliveries_after(
    conn: &mut Conn,
    tenant: &TenantId,
    keys: &[EventKey],
    names: &[String],
    after: DeliveryId,
) -> Result<Vec<DeliveryId>, StoreError> {
    let ids: HashSet<&EventId> = keys.iter().map(|key| &key.id).collect();
    let ids: Vec<&EventId> = ids.into_iter().collect();
    Ok(run!(conn, |c| deliveries::table
        .filter(deliveries::tenant.eq(tenant))
        .filter(deliveries::event_id.eq_any(&ids))
        .filter(sql::<Text>("tenant || ' ' || event_id || '\n' || event_source").eq_any(names))
        .filter(deliveries::id.gt(after))
        .order(deliveries::id.asc())
        .limit(i64::try_from(DELIVERIES_AT_ONCE).unwrap_or(i64::MAX))
        .select(deliveries::id)
        .load::<DeliveryId>(c))?)
}

async fn change_deliveries(
    conn: &mut Conn,
    ids: Vec<DeliveryId>,
    what: What,
) -> Result<(), StoreError> {
    // One may have been retried since it was found.
    let ended = deliveries::table.filter(deliveries::id.eq_any(&ids)).filter(not(open()));
    let ids = load_to_change!(conn, DeliveryId, ended.select(deliveries::id))?;
    let of_them = attempts::table.filter(attempts::delivery_id.eq_any(&ids));
    match what {
        What::Delete => {
            run!(conn, |c| diesel::delete(of_them).execute(c))?;
            run!(conn, |c| diesel::delete(deliveries::table.filter(deliveries::id.eq_any(&ids)))
                .execute(c))?;
        }
        What::Empty => {
            run!(conn, |c| diesel::update(of_them)
                .set((
                    attempts::response_body.eq(None::<&str>),
                    attempts::frozen.eq(None::<&str>),
                    attempts::frozen_body.eq(None::<&[u8]>),
                    attempts::response_packed.eq(None::<&[u8]>),
                ))
                .execute(c))?;
        }
    }
    Ok(())
}

/// Changes those of the events that have no deliveries that forbid it, and returns how many.
async fn change_events(
    conn: &mut Conn,
    keys: Vec<EventKey>,
    what: What,
) -> Result<usize, StoreError> {
    // A replay may have made some since they were found.
    let has_none = || {
        sql::<Bool>(
            "NOT EXISTS (SELECT 1 FROM deliveries WHERE tenant = events.tenant \
             AND event_id = events.id AND event_source = events.source)",
        )
    };
    let has_no_open = || {
        sql::<Bool>(
            "NOT EXISTS (SELECT 1 FROM deliveries WHERE tenant = events.tenant \
             AND event_id = events.id AND event_source = events.source \
             AND state IN ('pending', 'in_flight'))",
        )
    };
    let (has_none, has_no_open) = (&has_none, &has_no_open);
    let changed = match what {
        What::Delete => each!(conn, &keys, |key, c| diesel::delete(
            events::table.find((&key.tenant, &key.id, &key.source)).filter(has_none())
        )
        .execute(c))?,
        What::Empty => each!(conn, &keys, |key, c| diesel::update(
            events::table.find((&key.tenant, &key.id, &key.source)).filter(has_no_open())
        )
        .set((events::data.eq(None::<&str>), events::attributes.eq("{}")))
        .execute(c))?,
    };
    Ok(changed.into_iter().sum())
}

/// The next pass continues at the last event found: others of the same millisecond may not have been found.
fn pass(found: &[(EventKey, Millis)], changed: usize, limit: usize) -> Pass {
    let last = found.last().filter(|_| found.len() == limit).map(|(_, at)| *at);
    // If a full batch is of one millisecond and none of it could go, skip to the next millisecond.
    let stuck = changed == 0 && found.first().map(|(_, at)| *at) == last;
    Pass { changed, next: if stuck { last.map(|at| at.plus_ms(1)) } else { last } }
}
