//! Records of attempts: the attempt and the delivery's new state are written together, batched with other
//! records.

use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::completion::Caller;
use crate::model::{Attempt, DeliveryId, Millis, Stage, State};
use crate::store::db::columns::storable;
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::new_rows::Owner;
use crate::store::db::rows::{Change, Kind, Rows, Statement};
use crate::store::db::schema::deliveries;
use crate::store::history::attempts::{Tried, packed_response};
use crate::store::history::frozen_request::{AT_ONCE_BYTES_MAX, Columns, FrozenRequest};
use crate::store::queue::ordering;

/// The end of an owner's work on a delivery.
#[derive(Clone, Debug)]
pub struct Record {
    pub delivery_id: DeliveryId,
    pub owner: Owner,
    /// None: released without an attempt; nothing is counted.
    pub attempt: Option<Attempt>,
    /// Stored with the attempt. If a delivery has several, the first one counts.
    pub frozen: Option<FrozenRequest>,
    /// Any state but `InFlight`.
    pub to: State,
    pub reason: Option<String>,
    /// Stage at which the attempt ended.
    pub stage: Option<Stage>,
    /// Used for `Pending` only; none: held.
    pub next_attempt_at: Option<Millis>,
    /// Other deliveries may wait behind it: the next one becomes due.
    pub ordered: bool,
    /// No caller is blocked on it: it may be delayed to share a commit with other jobs.
    pub can_wait: bool,
    pub now: Millis,
}

/// State of the delivery after a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// None: the delivery was deleted meanwhile, and nothing was stored.
    pub state: Option<State>,
    /// False if another owner had the delivery. The attempt is stored, and the state changes only to
    /// `delivered`; not even that for an ordered delivery that is in flight with its new owner.
    pub ours: bool,
}

/// What takes time to be written: the frozen request, and a long response.
pub(super) struct LongParts {
    frozen: Option<Columns>,
    response: Option<Arc<[u8]>>,
}

impl LongParts {
    pub(super) async fn of(record: &Arc<Record>) -> Result<LongParts, StoreError> {
        let bytes = record.frozen.as_ref().map_or(0, FrozenRequest::long_bytes);
        if bytes <= AT_ONCE_BYTES_MAX {
            return LongParts::of_short(record);
        }
        let record = Arc::clone(record);
        let parts = tokio::task::spawn_blocking(move || LongParts::of_short(&record));
        parts.await.map_err(StoreError::unavailable)?
    }

    fn of_short(record: &Record) -> Result<LongParts, StoreError> {
        let frozen = record.frozen.as_ref().map(FrozenRequest::columns).transpose()?;
        let response = record.attempt.as_ref().map(packed_response).transpose()?.flatten();
        Ok(LongParts { frozen, response })
    }
}

pub(crate) struct RecordJob {
    record: Arc<Record>,
    long: LongParts,
    /// A worker that was stopped meanwhile no longer waits.
    pub(super) caller: Caller<Recorded>,
}

impl RecordJob {
    /// `Conflict` for a record that would leave the delivery in flight.
    pub(super) fn new(
        record: Arc<Record>,
        long: LongParts,
        caller: Caller<Recorded>,
    ) -> Result<RecordJob, StoreError> {
        if record.to == State::InFlight {
            return Err(StoreError::Conflict("a record ends the flight".to_owned()));
        }
        Ok(RecordJob { record, long, caller })
    }

    fn tried(&self) -> Option<Tried<'_>> {
        let RecordJob { record, long: LongParts { frozen, response }, .. } = self;
        let (delivery_id, attempt) = (record.delivery_id, record.attempt.as_ref()?);
        Some(Tried { delivery_id, attempt, frozen: frozen.as_ref(), response: response.as_ref() })
    }

    pub(super) fn can_wait(&self) -> bool {
        self.record.can_wait
    }

    pub(super) fn delivery_id(&self) -> DeliveryId {
        self.record.delivery_id
    }
}

/// Ends flights: updates deliveries to their state after the attempt. No index supports the operator
/// `IS NOT DISTINCT FROM` on the node: with `=` PostgreSQL may scan everything that a node owns for each row.
/// A reason on a delivery in flight is a cancel request: see `end_of_flight`.
pub(super) struct EndFlights;

impl Statement for EndFlights {
    const CHANGE: Change = Change::Update(
        "UPDATE deliveries AS old SET state = :state, reason = :reason, stage = :stage, \
         next_attempt_at = :next_attempt_at, attempts = old.attempts + :tried, owner_node = NULL, \
         owner_epoch = NULL, updated_at = :now \
         WHERE old.id = :id AND old.owner_node IS NOT DISTINCT FROM :owner_node \
         AND old.owner_epoch = :owner_epoch AND old.reason IS NULL",
    );
    const COLUMNS: &'static [(&'static str, Kind)] = &[
        ("state", Kind::Text),
        ("reason", Kind::Text),
        ("stage", Kind::Text),
        ("next_attempt_at", Kind::Number),
        ("tried", Kind::Number),
        ("now", Kind::Number),
        ("id", Kind::Id),
        ("owner_node", Kind::Text),
        ("owner_epoch", Kind::Number),
    ];
}

/// The updates for the jobs' deliveries; at most one job for each delivery.
pub(super) fn ends(jobs: &[RecordJob]) -> Rows<EndFlights> {
    let mut rows = Rows::new();
    for RecordJob { record, .. } in jobs {
        rows.push([
            record.to.as_str().into(),
            // May be a text from a plugin.
            record.reason.as_deref().map(storable).into(),
            record.stage.map(Stage::as_str).into(),
            record.next_attempt_at.filter(|_| record.to == State::Pending).into(),
            i64::from(record.attempt.is_some()).into(),
            record.now.into(),
            record.delivery_id.0.into(),
            record.owner.node.as_str().into(),
            record.owner.epoch.into(),
        ]);
    }
    rows
}

/// The result for each job's delivery, in order. `ended`: for each job, whether its update from `ends`
/// matched.
pub(super) async fn recorded(
    conn: &mut Conn,
    jobs: &[RecordJob],
    ended: &[bool],
) -> Result<Vec<Recorded>, StoreError> {
    let mut recorded = Vec::with_capacity(jobs.len());
    for (job, ended) in jobs.iter().zip(ended) {
        recorded.push(if *ended {
            Recorded { state: Some(job.record.to), ours: true }
        } else {
            end_of_flight(conn, job).await?
        });
    }
    Ok(recorded)
}

/// The attempts of deliveries that still exist.
pub(super) fn tried<'a>(jobs: &'a [RecordJob], recorded: &[Recorded]) -> Vec<Tried<'a>> {
    let kept = jobs.iter().zip(recorded).filter(|(_, recorded)| recorded.state.is_some());
    kept.filter_map(|(job, _)| job.tried()).collect()
}

/// Makes due the next delivery behind each ordered delivery of the jobs.
pub(super) async fn wake_next(conn: &mut Conn, jobs: &[RecordJob]) -> Result<(), StoreError> {
    for RecordJob { record, .. } in jobs.iter().filter(|job| job.record.ordered) {
        ordering::wake_next(conn, record.delivery_id, record.now).await?;
    }
    Ok(())
}

/// Handles the uncommon cases: cancelled during the attempt, owned by another owner, or deleted.
async fn end_of_flight(conn: &mut Conn, job: &RecordJob) -> Result<Recorded, StoreError> {
    let record = &*job.record;
    let stands = run!(conn, |c| deliveries::table
        .find(record.delivery_id)
        .select((
            deliveries::state,
            deliveries::owner_node,
            deliveries::owner_epoch,
            deliveries::reason,
            deliveries::order_key.is_not_null()
        ))
        .first::<(State, Option<String>, Option<i64>, Option<String>, bool)>(c))
    .optional()?;
    let Some((state, node, epoch, reason, ordered)) = stands else {
        return Ok(Recorded { state: None, ours: false });
    };
    let ours = node.as_ref() == Some(&record.owner.node) && epoch == Some(record.owner.epoch);
    let (to, reason) = match (record.to, ours) {
        // The new owner may still have it in memory, and would send it after those behind it.
        (State::Delivered, false) if ordered && state == State::InFlight => (state, reason),
        (State::Delivered, _) => (State::Delivered, None),
        (_, true) => (State::Cancelled, reason),
        (_, false) => (state, reason),
    };
    let attempts = deliveries::attempts + i64::from(record.attempt.is_some());
    let target = deliveries::table.find(record.delivery_id);
    if to == state {
        run!(conn, |c| diesel::update(target).set(deliveries::attempts.eq(attempts)).execute(c))?;
    } else {
        run!(conn, |c| diesel::update(target)
            .set((
                deliveries::state.eq(to),
                deliveries::reason.eq(&reason),
                deliveries::next_attempt_at.eq(None::<i64>),
                deliveries::attempts.eq(attempts),
                deliveries::owner_node.eq(None::<&str>),
                deliveries::owner_epoch.eq(None::<i64>),
                deliveries::updated_at.eq(record.now),
            ))
            .execute(c))?;
    }
    Ok(Recorded { state: Some(to), ours })
}
