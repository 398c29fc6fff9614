//! Accepting events: the write before 202.

use std::collections::HashMap;
use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use tokio::sync::oneshot;

use super::columns::{count_of, storable};
use super::commit::Job;
use super::conn::{Conn, each, run};
use super::idempotency::{self, Once};
use super::schema::{deliveries, events};
use super::{Store, StoreError};
use crate::model::{DeliveryId, Event, EventKey, Millis, State, WebhookId};

/// A node in one of its lives. It owns the deliveries that are in flight there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Owner {
    pub node: String,
    pub epoch: i64,
}

/// A delivery as routing made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewDelivery {
    pub id: DeliveryId,
    pub webhook_id: WebhookId,
    /// `InFlight` (then the event's `owner` owns it), `Pending` or `Missed`.
    pub state: State,
    pub reason: Option<String>,
    /// Counts for `Pending` only; none: held.
    pub next_attempt_at: Option<Millis>,
}

/// An event to be made durable, with its deliveries.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub event: Arc<Event>,
    pub deliveries: Vec<NewDelivery>,
    /// A plugin dropped it at intake: id, type and this are stored, the data and attributes not.
    pub dropped_reason: Option<String>,
    pub accepted_at: Millis,
    pub owner: Owner,
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The tenant has an event of this id and source; nothing was stored.
    pub duplicate: bool,
    /// How many deliveries it (or the first of its id) has.
    pub deliveries: u32,
}

/// The answer to one call, and whether it is one that was given before.
pub(super) enum Answer {
    New(Vec<Accepted>),
    Before(idempotency::Idempotent),
}

pub(super) struct AcceptJob {
    pub(super) events: Vec<NewEvent>,
    pub(super) once: Option<Once>,
    pub(super) reply: oneshot::Sender<Result<Answer, StoreError>>,
}

impl AcceptJob {
    /// Whoever went away meanwhile has his events all the same.
    pub(super) fn answer(self, answer: Result<Answer, StoreError>) {
        let _ = self.reply.send(answer);
    }
}

impl Store {
    /// Stores events with their deliveries in one transaction, shared with other callers, and
    /// returns when it is durable. Answers stand in order. A known (tenant, source, id), also
    /// within `events`, answers with the first one's figures.
    ///
    /// # Errors
    /// `Busy` at once when the queue is full; `Unavailable` when the commit failed.
    pub async fn accept(&self, events: Vec<NewEvent>) -> Result<Vec<Accepted>, StoreError> {
        match self.send_accept(events, None).await? {
            Answer::New(accepted) => Ok(accepted),
            Answer::Before(_) => Ok(Vec::new()),
        }
    }

    pub(super) async fn send_accept(
        &self,
        events: Vec<NewEvent>,
        once: Option<Once>,
    ) -> Result<Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.try_send(Job::Accept(AcceptJob { events, once, reply })).map_err(
            |e| match e {
                tokio::sync::mpsc::error::TrySendError::Full(_) => StoreError::Busy,
                tokio::sync::mpsc::error::TrySendError::Closed(_) => StoreError::closed(),
            },
        )?;
        answer.await.map_err(|_| StoreError::closed())?
    }
}

#[derive(Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
struct EventRow<'a> {
    tenant: &'a str,
    source: &'a str,
    id: &'a str,
    event_type: &'a str,
    timestamp: Millis,
    subject: Option<String>,
    attributes: &'a str,
    data: Option<&'a str>,
    schema_ok: bool,
    accepted_at: Millis,
    deliveries: i64,
    dropped_reason: Option<String>,
}

#[derive(Insertable)]
#[diesel(table_name = deliveries, treat_none_as_default_value = false)]
pub(super) struct DeliveryRow<'a> {
    id: DeliveryId,
    tenant: &'a str,
    event_source: &'a str,
    event_id: &'a str,
    webhook_id: WebhookId,
    state: &'static str,
    reason: Option<&'a str>,
    attempts: i64,
    schedule_start: i64,
    next_attempt_at: Option<Millis>,
    owner_node: Option<&'a str>,
    owner_epoch: Option<i64>,
    subject: Option<String>,
    created_at: Millis,
    updated_at: Millis,
}

/// Writes what the jobs bring. Job by job the answers, in order.
pub(super) async fn write(conn: &mut Conn, jobs: &[AcceptJob]) -> Result<Vec<Answer>, StoreError> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let fresh = idempotency::claim(conn, jobs).await?;
    let news: Vec<&NewEvent> = jobs
        .iter()
        .zip(&fresh)
        .filter(|(_, fresh)| **fresh)
        .flat_map(|(job, _)| &job.events)
        .collect();
    let mut accepted = write_events(conn, &news).await?.into_iter();
    let mut answers = Vec::with_capacity(jobs.len());
    for (job, fresh) in jobs.iter().zip(&fresh) {
        let accepted: Vec<Accepted> =
            accepted.by_ref().take(if *fresh { job.events.len() } else { 0 }).collect();
        answers.push(match &job.once {
            Some(once) if *fresh => {
                idempotency::settle(conn, once, &accepted).await?;
                Answer::New(accepted)
            }
            Some(once) => Answer::Before(idempotency::read(conn, once).await?),
            None => Answer::New(accepted),
        });
    }
    Ok(answers)
}

async fn write_events(conn: &mut Conn, news: &[&NewEvent]) -> Result<Vec<Accepted>, StoreError> {
    // Of equal keys in the batch the first is written; the others point at it.
    let mut firsts: HashMap<&EventKey, usize> = HashMap::with_capacity(news.len());
    let mut unique: Vec<&NewEvent> = Vec::with_capacity(news.len());
    let mut places = Vec::with_capacity(news.len());
    for new in news {
        let place = *firsts.entry(&new.event.key).or_insert(unique.len());
        let first = place == unique.len();
        if first {
            unique.push(new);
        }
        places.push((place, first));
    }
    let rows: Vec<EventRow<'_>> = unique.iter().map(|new| event_row(new)).collect();
    let inserted = each!(conn, &rows, |row, c| diesel::insert_into(events::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(c))?;
    let mut accepted = Vec::with_capacity(unique.len());
    for (new, count) in unique.iter().zip(&inserted) {
        accepted.push(if *count == 1 {
            let deliveries = u32::try_from(new.deliveries.len()).unwrap_or(u32::MAX);
            Accepted { duplicate: false, deliveries }
        } else {
            Accepted { duplicate: true, deliveries: known_deliveries(conn, &new.event.key).await? }
        });
    }
    let written = unique.iter().zip(&inserted).filter(|(_, count)| **count == 1);
    let rows: Vec<DeliveryRow<'_>> = written.flat_map(|(new, _)| delivery_rows(new)).collect();
    each!(conn, &rows, |row, c| diesel::insert_into(deliveries::table).values(row).execute(c))?;
    Ok(places
        .into_iter()
        .map(|(place, first)| Accepted {
            duplicate: accepted[place].duplicate || !first,
            ..accepted[place]
        })
        .collect())
}

async fn known_deliveries(conn: &mut Conn, key: &EventKey) -> Result<u32, StoreError> {
    let count = run!(conn, |c| events::table
        .filter(events::tenant.eq(&key.tenant))
        .filter(events::id.eq(&key.id))
        .filter(events::source.eq(&key.source))
        .select(events::deliveries)
        .first::<i64>(c))?;
    Ok(count_of(count))
}

fn event_row(new: &NewEvent) -> EventRow<'_> {
    let event = &*new.event;
    let dropped = new.dropped_reason.is_some();
    let attributes = event.document.root().get("attributes").filter(|_| !dropped);
    EventRow {
        tenant: event.key.tenant.as_str(),
        source: &event.key.source,
        id: event.key.id.as_str(),
        event_type: event.event_type.as_str(),
        timestamp: event.timestamp,
        subject: event.subject().filter(|_| !dropped).map(|s| storable(s).into_owned()),
        attributes: attributes.map_or("{}", |attributes| attributes.raw()),
        data: (!dropped).then(|| event.data().raw()),
        schema_ok: event.schema_ok,
        accepted_at: new.accepted_at,
        deliveries: i64::try_from(new.deliveries.len()).unwrap_or(i64::MAX),
        dropped_reason: new.dropped_reason.as_deref().map(|r| storable(r).into_owned()),
    }
}

fn delivery_rows(new: &NewEvent) -> impl Iterator<Item = DeliveryRow<'_>> {
    let rows = new.deliveries.iter();
    rows.map(|delivery| delivery_row(&new.event, delivery, &new.owner, new.accepted_at))
}

pub(super) fn delivery_row<'a>(
    event: &'a Event,
    delivery: &'a NewDelivery,
    owner: &'a Owner,
    now: Millis,
) -> DeliveryRow<'a> {
    let key = &event.key;
    let in_flight = delivery.state == State::InFlight;
    let pending = delivery.state == State::Pending;
    DeliveryRow {
        id: delivery.id,
        tenant: key.tenant.as_str(),
        event_source: &key.source,
        event_id: key.id.as_str(),
        webhook_id: delivery.webhook_id,
        state: delivery.state.as_str(),
        // In flight it would be a wish to cancel: `by_hand.rs`.
        reason: delivery.reason.as_deref().filter(|_| !in_flight),
        attempts: 0,
        schedule_start: 0,
        next_attempt_at: delivery.next_attempt_at.filter(|_| pending),
        owner_node: in_flight.then_some(owner.node.as_str()),
        owner_epoch: in_flight.then_some(owner.epoch),
        subject: event.subject().map(|s| storable(s).into_owned()),
        created_at: now,
        updated_at: now,
    }
}
