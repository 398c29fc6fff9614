//! Stores accepted events and their deliveries, before intake answers 202.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::completion::Caller;
use super::idempotency::{self, Once};
use crate::model::EventKey;
use crate::store::db::columns::count_of;
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::new_rows::{Accepted, NewEvent};
use crate::store::db::rows::Rows;
use crate::store::db::schema::events;
use crate::store::history::deliveries::{InsertDeliveries, push_delivery};
use crate::store::history::events::{InsertEvents, push_event};
use crate::store::queue::ordering::{self, Places};

/// The answer to one call: new, or stored by an earlier call with the same idempotency key.
pub(super) enum Answer {
    New(Vec<Accepted>),
    Before(idempotency::Idempotent),
}

/// Rows of events and their deliveries.
pub(super) fn rows_of(events: &[NewEvent]) -> usize {
    events.iter().map(|new| 1 + new.deliveries.len()).sum()
}

pub(crate) struct AcceptJob {
    pub(super) events: Vec<NewEvent>,
    pub(super) once: Option<Once>,
    /// The events stay committed even if the caller has gone away.
    pub(super) caller: Caller<Answer>,
}

/// Accept jobs while they are written: first their events, then the deliveries of the events that are new.
pub(super) struct Accepting<'a> {
    jobs: &'a [AcceptJob],
    /// For each job, whether its events are to be stored.
    fresh: Vec<bool>,
    /// The events to write: the first one of each key.
    unique: Vec<&'a NewEvent>,
    /// For each event, the index in `unique` of the first one with its key, and whether it is that one.
    stand_ins: Vec<(usize, bool)>,
    places: Places,
}

/// Whether these jobs need other statements before their events are written.
pub(super) fn needs_before(jobs: &[AcceptJob]) -> bool {
    let keyed = |new: &NewEvent| new.deliveries.iter().any(|delivery| delivery.keys.is_some());
    jobs.iter().any(|job| job.once.is_some() || job.events.iter().any(keyed))
}

impl<'a> Accepting<'a> {
    /// Claims the idempotency keys of the jobs, and reserves places in order for their deliveries.
    pub(super) async fn start(
        conn: &mut Conn,
        jobs: &'a [AcceptJob],
    ) -> Result<Accepting<'a>, StoreError> {
        let fresh = idempotency::claim(conn, jobs.iter().map(|job| job.once.as_ref())).await?;
        let news = jobs.iter().zip(&fresh).filter(|(_, fresh)| **fresh);
        let mut firsts: HashMap<&EventKey, usize> = HashMap::with_capacity(jobs.len());
        let (mut unique, mut stand_ins) = (Vec::with_capacity(jobs.len()), Vec::new());
        for new in news.flat_map(|(job, _)| &job.events) {
            let place = *firsts.entry(&new.event.key).or_insert(unique.len());
            let first = place == unique.len();
            if first {
                unique.push(new);
            }
            stand_ins.push((place, first));
        }
        let deliveries = unique.iter().flat_map(|new| &new.deliveries);
        let places = ordering::places(conn, deliveries).await?;
        Ok(Accepting { jobs, fresh, unique, stand_ins, places })
    }

    pub(super) fn events(&self) -> Rows<InsertEvents> {
        let mut rows = Rows::new();
        for new in &self.unique {
            push_event(&mut rows, new);
        }
        rows
    }

    /// The deliveries of the new events. `new_here`: for each of the unique events, whether it was inserted.
    pub(super) fn deliveries(&mut self, new_here: &[bool]) -> Rows<InsertDeliveries> {
        let mut rows = Rows::new();
        for (new, _) in self.unique.iter().zip(new_here).filter(|(_, new_here)| **new_here) {
            let Accepting { places, .. } = self;
            for delivery in &new.deliveries {
                let seq = places.next(delivery);
                push_delivery(&mut rows, &new.event, delivery, seq, &new.owner, new.accepted_at);
            }
        }
        rows
    }

    /// The answers to the jobs, in order. `written`: for each delivery, whether it was inserted.
    pub(super) async fn end(
        self,
        conn: &mut Conn,
        new_here: &[bool],
        written: &[bool],
    ) -> Result<Vec<Answer>, StoreError> {
        if written.contains(&false) {
            let what = "there is a delivery of this id already";
            return Err(StoreError::Conflict(what.to_owned()));
        }
        let mut of_unique = Vec::with_capacity(self.unique.len());
        for (new, new_here) in self.unique.iter().zip(new_here) {
            of_unique.push(if *new_here {
                let deliveries = u32::try_from(new.deliveries.len()).unwrap_or(u32::MAX);
                Accepted { duplicate: false, deliveries }
            } else {
                let deliveries = known_deliveries(conn, &new.event.key).await?;
                Accepted { duplicate: true, deliveries }
            });
        }
        let mut accepted = self.stand_ins.into_iter().map(|(place, first)| {
            let Accepted { duplicate, deliveries } = of_unique[place];
            Accepted { duplicate: duplicate || !first, deliveries }
        });
        let mut answers = Vec::with_capacity(self.jobs.len());
        for (job, fresh) in self.jobs.iter().zip(&self.fresh) {
            let count = if *fresh { job.events.len() } else { 0 };
            let accepted: Vec<Accepted> = accepted.by_ref().take(count).collect();
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
