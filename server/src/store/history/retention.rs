//! Retention: removes old events or their payloads in small transactions. Events with open deliveries stay.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::History;
use crate::model::{DeliveryId, EventId, EventKey, Millis, State, TenantId};
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
        let old = old.clone();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let Ended { keys, delivery_ids, pass } =
                        find_ended(conn, &old, from, limit, false).await?;
                    run!(conn, |c| diesel::delete(
                        attempts::table.filter(attempts::delivery_id.eq_any(&delivery_ids))
                    )
                    .execute(c))?;
                    run!(conn, |c| diesel::delete(
                        deliveries::table.filter(deliveries::id.eq_any(&delivery_ids))
                    )
                    .execute(c))?;
                    each!(conn, &keys, |key, c| diesel::delete(events::table.find((
                        &key.tenant,
                        &key.id,
                        &key.source
                    )))
                    .execute(c))?;
                    Ok(pass)
                })
            })
            .await
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
        let old = old.clone();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let Ended { keys, delivery_ids, pass } =
                        find_ended(conn, &old, from, limit, true).await?;
                    run!(conn, |c| diesel::update(
                        attempts::table.filter(attempts::delivery_id.eq_any(&delivery_ids))
                    )
                    .set((
                        attempts::response_body.eq(None::<&str>),
                        attempts::frozen.eq(None::<&str>),
                        attempts::frozen_body.eq(None::<&[u8]>),
                        attempts::response_packed.eq(None::<&[u8]>),
                    ))
                    .execute(c))?;
                    each!(conn, &keys, |key, c| diesel::update(events::table.find((
                        &key.tenant,
                        &key.id,
                        &key.source
                    )))
                    .set((events::data.eq(None::<&str>), events::attributes.eq("{}")))
                    .execute(c))?;
                    Ok(pass)
                })
            })
            .await
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
                    .or(only.is_none().into_sql::<diesel::sql_types::Bool>()),
            )
            .filter(events::event_type.ne_all(all_but))
            .filter(
                events::data.is_not_null().or((!with_data).into_sql::<diesel::sql_types::Bool>())
            )
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

/// Events without open deliveries, with their deliveries.
struct Ended {
    keys: Vec<EventKey>,
    delivery_ids: Vec<DeliveryId>,
    /// Progress of the search for them.
    pass: Pass,
}

/// Up to `limit` old events, without those that have open deliveries.
async fn find_ended(
    conn: &mut Conn,
    old: &Old,
    from: Millis,
    limit: usize,
    with_data: bool,
) -> Result<Ended, StoreError> {
    let found = find(conn, old, from, limit, with_data).await?;
    let ended = ended(conn, &old.tenant, &found).await?;
    let delivery_ids = ended.values().flatten().copied().collect();
    let pass = pass(&found, ended.len(), limit);
    Ok(Ended { keys: ended.into_keys().collect(), delivery_ids, pass })
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
            events::event_type
                .eq(only.unwrap_or_default())
                .or(only.is_none().into_sql::<diesel::sql_types::Bool>()),
        )
        .filter(events::event_type.ne_all(all_but))
        .filter(events::data.is_not_null().or((!with_data).into_sql::<diesel::sql_types::Bool>()))
        .order((events::accepted_at.asc(), events::id.asc()))
        .limit(limit)
        .select((events::id, events::source, events::accepted_at));
    let rows = load_to_change!(conn, (EventId, String, Millis), query)?;
    let tenant = &old.tenant;
    let key = |(id, source, at)| (EventKey { tenant: tenant.clone(), source, id }, at);
    Ok(rows.into_iter().map(key).collect())
}

/// Those of the events that have no open deliveries, with their deliveries.
async fn ended(
    conn: &mut Conn,
    tenant: &TenantId,
    found: &[(EventKey, Millis)],
) -> Result<HashMap<EventKey, Vec<DeliveryId>>, StoreError> {
    let mut ended: HashMap<EventKey, Vec<DeliveryId>> =
        found.iter().map(|(key, _)| (key.clone(), Vec::new())).collect();
    let ids: HashSet<&EventId> = found.iter().map(|(key, _)| &key.id).collect();
    let ids: Vec<&EventId> = ids.into_iter().collect();
    let rows = run!(conn, |c| deliveries::table
        .filter(deliveries::tenant.eq(tenant))
        .filter(deliveries::event_id.eq_any(&ids))
        .select((deliveries::id, deliveries::event_id, deliveries::event_source, deliveries::state))
        .load::<(DeliveryId, EventId, String, State)>(c))?;
    let mut open = Vec::new();
    for (id, event_id, source, state) in rows {
        let key = EventKey { tenant: tenant.clone(), source, id: event_id };
        if matches!(state, State::Pending | State::InFlight) {
            open.push(key);
        } else if let Some(ids) = ended.get_mut(&key) {
            ids.push(id);
        }
    }
    for key in open {
        ended.remove(&key);
    }
    Ok(ended)
}

/// The next pass continues at the last event found: others of the same millisecond may not have been found.
fn pass(found: &[(EventKey, Millis)], changed: usize, limit: usize) -> Pass {
    let last = found.last().filter(|_| found.len() == limit).map(|(_, at)| *at);
    // If a full batch is of one millisecond and none of it could go, skip to the next millisecond.
    let stuck = changed == 0 && found.first().map(|(_, at)| *at) == last;
    Pass { changed, next: if stuck { last.map(|at| at.plus_ms(1)) } else { last } }
}
