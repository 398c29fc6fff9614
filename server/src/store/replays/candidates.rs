//! Candidates of a replay: rows of the tenant's events or of the webhook's deliveries, oldest first, with the
//! data needed to decide on each. Sizes are known before data is read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Replays;
use crate::model::{
    DeliveryId, Event, EventId, EventKey, Millis, ReplayOf, Selection, State, TenantId, WebhookId,
    reason,
};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::page::{PageSize, Place};
use crate::store::db::schema::{deliveries, events};
use crate::store::history::deliveries as of_deliveries;
use crate::store::history::events as of_events;

/// One row of a selection.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Position of this row: the next call continues after it.
    pub position: String,
    /// None: the event or its data is no longer stored, or it was dropped at intake.
    pub event: Option<Arc<Event>>,
    /// The selected delivery and its state, if the selection is of deliveries.
    pub delivery: Option<(DeliveryId, State)>,
    /// Whether the webhook wants the event was never decided.
    pub undecided: bool,
    /// Already sent: a missed event has another delivery to the webhook, or an event selected with `only_new`
    /// has any.
    pub taken_up: bool,
}

/// Some rows of a selection.
#[derive(Debug)]
pub struct Candidates {
    pub rows: Vec<Candidate>,
    /// Whether the selection may have rows after these.
    pub more: bool,
}

/// The newest event of an id, without its data.
#[derive(Queryable)]
pub struct NewestEvent {
    id: EventId,
    source: String,
    accepted_at: Millis,
    /// Why it was dropped at intake.
    pub dropped_reason: Option<String>,
    /// False for a dropped event, and after retention has removed the data.
    pub data_kept: bool,
    bytes: i64,
}

impl Replays {
    /// The next rows of a selection after `position`, which is empty at the start. `size` counts rows, and
    /// bytes of their events.
    ///
    /// # Errors
    /// `BadCursor`, `Corrupt`, `Unavailable`.
    pub async fn replay_candidates(
        &self,
        tenant: &TenantId,
        webhook_id: WebhookId,
        selection: &Selection,
        position: &str,
        size: PageSize,
    ) -> Result<Candidates, StoreError> {
        let after = if position.is_empty() { None } else { Some(Place::parse(position)?) };
        let asked = Asked { tenant, webhook_id, selection, after, size };
        let mut lease = self.db.read().await?;
        let conn = lease.conn();
        // Its queries see the same rows.
        conn.begin_read().await?;
        let found = match &selection.of {
            ReplayOf::Deliveries { state } => of_webhook(conn, &asked, *state).await?,
            ReplayOf::Events { only_new } => of_tenant(conn, &asked, *only_new).await?,
            ReplayOf::Listed { event_ids } => listed(conn, &asked, event_ids).await?,
        };
        conn.commit().await?;
        lease.give_back();
        Ok(found)
    }

    /// The newest stored event of each id.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn newest_events(
        &self,
        tenant: &TenantId,
        ids: &[EventId],
    ) -> Result<HashMap<EventId, NewestEvent>, StoreError> {
        let mut lease = self.db.read().await?;
        let found = newest(lease.conn(), tenant, ids).await?;
        lease.give_back();
        Ok(found)
    }
}

struct Asked<'a> {
    tenant: &'a TenantId,
    webhook_id: WebhookId,
    selection: &'a Selection,
    after: Option<Place>,
    size: PageSize,
}

impl Asked<'_> {
    /// Cuts rows to the size of a page. Returns whether there may be more.
    fn cut<T>(&self, rows: &mut Vec<T>, bytes: impl Fn(&T) -> i64) -> bool {
        let found = rows.len();
        rows.truncate(self.size.fitting(rows.iter().map(bytes)));
        rows.len() < found || found == self.size.rows_max
    }

    fn rows(&self) -> i64 {
        i64::try_from(self.size.rows_max).unwrap_or(i64::MAX)
    }
}

async fn of_webhook(
    conn: &mut Conn,
    asked: &Asked<'_>,
    state: Option<State>,
) -> Result<Candidates, StoreError> {
    let after = match &asked.after {
        Some(place) => {
            let id: DeliveryId = place.tie.parse().map_err(|_| StoreError::BadCursor)?;
            Some((place.at, id))
        }
        None => None,
    };
    let selection = asked.selection;
    let mut rows = run!(conn, |c, Db| {
        let mut query = deliveries::table
            .select((
                of_deliveries::Row::as_select(),
                deliveries::created_at,
                of_events::bytes_of_delivery(),
            ))
            .filter(deliveries::tenant.eq(asked.tenant))
            .filter(deliveries::webhook_id.eq(asked.webhook_id))
            .filter(deliveries::created_at.lt(selection.until))
            .order((deliveries::created_at.asc(), deliveries::id.asc()))
            .limit(asked.rows())
            .into_boxed::<Db>();
        if let Some((at, id)) = after {
            query = query
                .filter(deliveries::created_at.ge(at))
                .filter(deliveries::created_at.gt(at).or(deliveries::id.gt(id)));
        }
        if let Some(since) = selection.since {
            query = query.filter(deliveries::created_at.ge(since));
        }
        if let Some(state) = state {
            query = query.filter(deliveries::state.eq(state));
            if !matches!(state, State::Delivered | State::InFlight) {
                query = query.filter(of_deliveries::unsent());
            }
        }
        if let Some(subject) = &selection.subject {
            query = query.filter(deliveries::subject.eq(subject));
        }
        query.load::<(of_deliveries::Row, Millis, i64)>(c)
    })?;
    let more = asked.cut(&mut rows, |row| row.2);
    let keys: Vec<EventKey> = rows.iter().map(|(row, ..)| row.event_key()).collect();
    let stored = with_data(conn, &keys).await?;
    let taken_up = match state {
        Some(State::Missed) => sent(conn, asked, &keys, true).await?,
        _ => HashSet::new(),
    };
    let candidate = |((row, at, _), key): ((of_deliveries::Row, Millis, i64), EventKey)| {
        let delivery = row.delivery();
        Candidate {
            position: Place { at, tie: delivery.id.to_string() }.cursor(),
            taken_up: taken_up.contains(&(key.source.clone(), key.id.clone())),
            event: stored.get(&key).cloned(),
            undecided: delivery.reason.as_deref() == Some(reason::BUDGET_EXCEEDED),
            delivery: Some((delivery.id, delivery.state)),
        }
    };
    Ok(Candidates { rows: rows.into_iter().zip(keys).map(candidate).collect(), more })
}

async fn of_tenant(
    conn: &mut Conn,
    asked: &Asked<'_>,
    only_new: bool,
) -> Result<Candidates, StoreError> {
    let after = match &asked.after {
        Some(place) => {
            let (id, source) = place.tie.split_once('/').ok_or(StoreError::BadCursor)?;
            Some((place.at, id.to_owned(), source.to_owned()))
        }
        None => None,
    };
    let selection = asked.selection;
    let mut rows = run!(conn, |c, Db| {
        let mut query = events::table
            .select((events::source, events::id, events::accepted_at, of_events::bytes()))
            .filter(events::tenant.eq(asked.tenant))
            .filter(events::accepted_at.lt(selection.until))
            .order((events::accepted_at.asc(), events::id.asc(), events::source.asc()))
            .limit(asked.rows())
            .into_boxed::<Db>();
        if let Some((at, id, source)) = &after {
            let same_id = events::id.eq(id).and(events::source.gt(source));
            query = query
                .filter(events::accepted_at.ge(*at))
                .filter(events::accepted_at.gt(*at).or(events::id.gt(id)).or(same_id));
        }
        if let Some(since) = selection.since {
            query = query.filter(events::accepted_at.ge(since));
        }
        if let Some(subject) = &selection.subject {
            query = query.filter(events::subject.eq(subject));
        }
        query.load::<(String, EventId, Millis, i64)>(c)
    })?;
    let more = asked.cut(&mut rows, |row| row.3);
    let key = |(source, id, ..): &(String, EventId, Millis, i64)| EventKey {
        tenant: asked.tenant.clone(),
        source: source.clone(),
        id: id.clone(),
    };
    let keys: Vec<EventKey> = rows.iter().map(key).collect();
    let stored = with_data(conn, &keys).await?;
    let taken_up = if only_new { sent(conn, asked, &keys, false).await? } else { HashSet::new() };
    let candidate =
        |((source, id, at, _), key): ((String, EventId, Millis, i64), EventKey)| Candidate {
            position: Place { at, tie: format!("{id}/{source}") }.cursor(),
            taken_up: taken_up.contains(&(source, id)),
            delivery: None,
            undecided: false,
            event: stored.get(&key).cloned(),
        };
    Ok(Candidates { rows: rows.into_iter().zip(keys).map(candidate).collect(), more })
}

/// The events with these keys whose data is stored.
async fn with_data(
    conn: &mut Conn,
    keys: &[EventKey],
) -> Result<HashMap<EventKey, Arc<Event>>, StoreError> {
    let stored = of_events::load(conn, keys).await?.into_iter();
    let kept = stored.filter(|stored| stored.data_kept);
    Ok(kept.map(|stored| (stored.event.key.clone(), Arc::new(stored.event))).collect())
}

/// Sources and ids of those events that have a delivery to the webhook; with `beside_missed`, one that is not
/// `missed`.
async fn sent(
    conn: &mut Conn,
    asked: &Asked<'_>,
    keys: &[EventKey],
    beside_missed: bool,
) -> Result<HashSet<(String, EventId)>, StoreError> {
    let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
    let rows = run!(conn, |c| deliveries::table
        .filter(deliveries::tenant.eq(asked.tenant))
        .filter(deliveries::event_id.eq_any(&ids))
        .filter(deliveries::webhook_id.eq(asked.webhook_id))
        .select((deliveries::event_source, deliveries::event_id, deliveries::state))
        .load::<(String, EventId, State)>(c))?;
    let counts = |state: State| !beside_missed || state != State::Missed;
    Ok(rows.into_iter().filter(|row| counts(row.2)).map(|(source, id, _)| (source, id)).collect())
}

/// Candidates of listed events. The position is the number of ids already examined.
async fn listed(
    conn: &mut Conn,
    asked: &Asked<'_>,
    event_ids: &[EventId],
) -> Result<Candidates, StoreError> {
    let looked_at = match &asked.after {
        Some(place) => usize::try_from(place.at.0).map_err(|_| StoreError::BadCursor)?,
        None => 0,
    };
    let rest = event_ids.get(looked_at..).unwrap_or_default();
    let mut ids = rest.get(..asked.size.rows_max).unwrap_or(rest).to_vec();
    let found = newest(conn, asked.tenant, &ids).await?;
    let more = asked.cut(&mut ids, |id| found.get(id).map_or(0, |found| found.bytes));
    let key = |id: &EventId| {
        let source = found.get(id)?.source.clone();
        Some(EventKey { tenant: asked.tenant.clone(), source, id: id.clone() })
    };
    let stored = with_data(conn, &ids.iter().filter_map(key).collect::<Vec<_>>()).await?;
    let subject = asked.selection.subject.as_deref();
    let candidate = |(number, id): (usize, &EventId)| {
        let at = i64::try_from(looked_at + number + 1).unwrap_or(i64::MAX);
        let event = key(id).and_then(|key| stored.get(&key).cloned());
        Candidate {
            position: Place { at: Millis(at), tie: String::new() }.cursor(),
            event: event.filter(|event| subject.is_none() || event.subject() == subject),
            delivery: None,
            undecided: false,
            taken_up: false,
        }
    };
    Ok(Candidates { rows: ids.iter().enumerate().map(candidate).collect(), more })
}

async fn newest(
    conn: &mut Conn,
    tenant: &TenantId,
    ids: &[EventId],
) -> Result<HashMap<EventId, NewestEvent>, StoreError> {
    let times = run!(conn, |c| events::table
        .filter(events::tenant.eq(tenant))
        .filter(events::id.eq_any(ids))
        .group_by(events::id)
        .select((events::id, diesel::dsl::max(events::accepted_at).assume_not_null()))
        .load::<(EventId, Millis)>(c))?;
    let times: HashMap<EventId, Millis> = times.into_iter().collect();
    let mut distinct: Vec<Millis> = times.values().copied().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let rows = run!(conn, |c| events::table
        .filter(events::tenant.eq(tenant))
        .filter(events::id.eq_any(ids))
        .filter(events::accepted_at.eq_any(&distinct))
        .order(events::source.asc())
        .select((
            events::id,
            events::source,
            events::accepted_at,
            events::dropped_reason,
            events::data.is_not_null(),
            of_events::bytes(),
        ))
        .load::<NewestEvent>(c))?;
    let newest = rows.into_iter().filter(|row| times.get(&row.id) == Some(&row.accepted_at));
    Ok(newest.map(|row| (row.id.clone(), row)).collect())
}
