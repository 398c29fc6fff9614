//! Candidates of a replay: rows of the tenant's events or of the webhook's deliveries, oldest first, with the
//! data needed to decide on each.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Replays;
use crate::model::{
    DeliveryId, Event, EventId, EventKey, Millis, ReplayOf, Selection, State, TenantId, WebhookId,
    reason,
};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::page::Place;
use crate::store::db::schema::{deliveries, events};
use crate::store::history::deliveries as of_deliveries;
use crate::store::history::events as of_events;
use crate::store::history::events::StoredEvent;

/// One row of a selection.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Position of this row: the next call continues after it.
    pub position: String,
    /// None: the event or its data is no longer stored, or it was dropped at intake.
    pub event: Option<Event>,
    /// The selected delivery and its state, if the selection is of deliveries.
    pub delivery: Option<(DeliveryId, State)>,
    /// Whether the webhook wants the event was never decided.
    pub undecided: bool,
    /// Already sent: a missed event has another delivery to the webhook, or an event selected with `only_new`
    /// has any.
    pub taken_up: bool,
}

impl Replays {
    /// The next rows of a selection after `position`, which is empty at the start. Fewer than
    /// `limit`: there are no more.
    ///
    /// # Errors
    /// `BadCursor`, `Corrupt`, `Unavailable`.
    pub async fn replay_candidates(
        &self,
        tenant: &TenantId,
        webhook_id: WebhookId,
        selection: &Selection,
        position: &str,
        limit: usize,
    ) -> Result<Vec<Candidate>, StoreError> {
        let after = if position.is_empty() { None } else { Some(Place::parse(position)?) };
        let asked = Asked { tenant, webhook_id, selection, after, limit };
        let mut lease = self.db.read().await?;
        let conn = lease.conn();
        let found = match &selection.of {
            ReplayOf::Deliveries { state } => of_webhook(conn, &asked, *state).await?,
            ReplayOf::Events { only_new } => of_tenant(conn, &asked, *only_new).await?,
            ReplayOf::Listed { event_ids } => listed(conn, &asked, event_ids).await?,
        };
        lease.give_back();
        Ok(found)
    }

    /// The newest stored event of each id.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn newest_events(
        &self,
        tenant: &TenantId,
        ids: &[EventId],
    ) -> Result<HashMap<EventId, StoredEvent>, StoreError> {
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
    limit: usize,
}

impl Asked<'_> {
    fn rows(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX)
    }
}

async fn of_webhook(
    conn: &mut Conn,
    asked: &Asked<'_>,
    state: Option<State>,
) -> Result<Vec<Candidate>, StoreError> {
    let after = match &asked.after {
        Some(place) => {
            let id: DeliveryId = place.tie.parse().map_err(|_| StoreError::BadCursor)?;
            Some((place.at, id))
        }
        None => None,
    };
    let selection = asked.selection;
    let rows = run!(conn, |c, Db| {
        let mut query = deliveries::table
            .select((of_deliveries::Row::as_select(), deliveries::created_at))
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
        query.load::<(of_deliveries::Row, Millis)>(c)
    })?;
    let keys: Vec<EventKey> = rows.iter().map(|(row, _)| row.event_key()).collect();
    let mut stored = HashMap::new();
    for event in of_events::load(conn, &keys).await? {
        if event.data_kept {
            stored.insert(event.event.key.clone(), event.event);
        }
    }
    let taken_up = match state {
        Some(State::Missed) => sent(conn, asked, &keys, true).await?,
        _ => HashSet::new(),
    };
    let candidate = |((row, at), key): ((of_deliveries::Row, Millis), EventKey)| {
        let delivery = row.delivery();
        Candidate {
            position: Place { at, tie: delivery.id.to_string() }.cursor(),
            taken_up: taken_up.contains(&(key.source.clone(), key.id.clone())),
            event: stored.get(&key).cloned(),
            undecided: delivery.reason.as_deref() == Some(reason::BUDGET_EXCEEDED),
            delivery: Some((delivery.id, delivery.state)),
        }
    };
    Ok(rows.into_iter().zip(keys).map(candidate).collect())
}

async fn of_tenant(
    conn: &mut Conn,
    asked: &Asked<'_>,
    only_new: bool,
) -> Result<Vec<Candidate>, StoreError> {
    let after = match &asked.after {
        Some(place) => {
            let (id, source) = place.tie.split_once('/').ok_or(StoreError::BadCursor)?;
            Some((place.at, id.to_owned(), source.to_owned()))
        }
        None => None,
    };
    let selection = asked.selection;
    let rows = run!(conn, |c, Db| {
        let mut query = events::table
            .select(of_events::Row::as_select())
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
        query.load::<of_events::Row>(c)
    })?;
    let stored: Vec<StoredEvent> =
        rows.into_iter().map(of_events::Row::event).collect::<Result<_, _>>()?;
    let keys: Vec<EventKey> = stored.iter().map(|stored| stored.event.key.clone()).collect();
    let taken_up = if only_new { sent(conn, asked, &keys, false).await? } else { HashSet::new() };
    let candidate = |stored: StoredEvent| {
        let EventKey { id, source, .. } = &stored.event.key;
        Candidate {
            position: Place { at: stored.accepted_at, tie: format!("{id}/{source}") }.cursor(),
            taken_up: taken_up.contains(&(source.clone(), id.clone())),
            delivery: None,
            undecided: false,
            event: stored.data_kept.then_some(stored.event),
        }
    };
    Ok(stored.into_iter().map(candidate).collect())
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
) -> Result<Vec<Candidate>, StoreError> {
    let looked_at = match &asked.after {
        Some(place) => usize::try_from(place.at.0).map_err(|_| StoreError::BadCursor)?,
        None => 0,
    };
    let rest = event_ids.get(looked_at..).unwrap_or_default();
    let ids = rest.get(..asked.limit).unwrap_or(rest);
    let found = newest(conn, asked.tenant, ids).await?;
    let subject = asked.selection.subject.as_deref();
    let candidate = |(number, id): (usize, &EventId)| {
        let at = i64::try_from(looked_at + number + 1).unwrap_or(i64::MAX);
        let stored = found.get(id).filter(|stored| stored.data_kept);
        let event = stored.map(|stored| stored.event.clone());
        Candidate {
            position: Place { at: Millis(at), tie: String::new() }.cursor(),
            event: event.filter(|event| subject.is_none() || event.subject() == subject),
            delivery: None,
            undecided: false,
            taken_up: false,
        }
    };
    Ok(ids.iter().enumerate().map(candidate).collect())
}

async fn newest(
    conn: &mut Conn,
    tenant: &TenantId,
    ids: &[EventId],
) -> Result<HashMap<EventId, StoredEvent>, StoreError> {
    let of_tenant =
        |id: &EventId| EventKey { tenant: tenant.clone(), source: String::new(), id: id.clone() };
    let keys: Vec<EventKey> = ids.iter().map(of_tenant).collect();
    let mut newest: HashMap<EventId, StoredEvent> = HashMap::new();
    for stored in of_events::load(conn, &keys).await? {
        let known = newest.get(&stored.event.key.id);
        if known.is_none_or(|known| known.accepted_at < stored.accepted_at) {
            newest.insert(stored.event.key.id.clone(), stored);
        }
    }
    Ok(newest)
}
