//! State changes of deliveries by API calls and webhook states: hold, release, cancel, retry.
//!
//! Cancelling a delivery in flight only writes its reason: a reason on a delivery in flight is a cancel
//! request, applied when the attempt ends unless it delivered.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

use super::Queue;
use super::ordering;
use crate::model::{DeliveryId, Millis, State, WebhookId, reason};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::schema::deliveries;

/// Written as text so that the database recognizes that the partial index over these rows applies.
pub(super) fn waiting() -> diesel::expression::SqlLiteral<Bool> {
    sql("state = 'pending'")
}

/// Its webhook is known to want the event: a delivery that was never decided upon is replayed, not retried.
pub(super) fn decided() -> diesel::expression::SqlLiteral<Bool> {
    sql("(reason IS NULL OR reason <> 'budget_exceeded')")
}

/// The open deliveries of a webhook that were cancelled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cancelled {
    /// Number of waiting deliveries, cancelled at once.
    pub pending: usize,
    /// Cancelled when their attempt ends.
    pub in_flight: Vec<DeliveryId>,
}

/// What becomes of the waiting deliveries of a webhook.
#[derive(Clone, Copy)]
enum Change {
    /// They wait without a due time, for this reason.
    Hold(&'static str),
    Release,
    /// For this reason.
    Cancel(&'static str),
}

/// Deliveries that one transaction changes: others are written in between.
const CHANGED_AT_ONCE: usize = 500;
/// Deliveries whose ids are read at once.
const READ_AT_ONCE: usize = 50_000;

impl Queue {
    /// Holds the pending deliveries of a webhook: they wait without a due time, for `reason`. Returns how
    /// many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn hold_webhook(
        &self,
        webhook_id: WebhookId,
        reason: &'static str,
        now: Millis,
    ) -> Result<usize, StoreError> {
        self.change_waiting(webhook_id, Change::Hold(reason), now).await
    }

    /// Makes the held deliveries of a webhook due. Returns how many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn release_webhook(
        &self,
        webhook_id: WebhookId,
        now: Millis,
    ) -> Result<usize, StoreError> {
        self.change_waiting(webhook_id, Change::Release, now).await
    }

    /// Changes the waiting deliveries of a webhook, some in each transaction.
    async fn change_waiting(
        &self,
        webhook_id: WebhookId,
        change: Change,
        now: Millis,
    ) -> Result<usize, StoreError> {
        let mut sum = 0;
        loop {
            let mut lease = self.db.read().await?;
            let ids = waiting_for(lease.conn(), webhook_id, change).await?;
            lease.give_back();
            for some in ids.chunks(CHANGED_AT_ONCE) {
                let some = some.to_vec();
                let write = self.db.write(move |conn| {
                    Box::pin(async move { change_some(conn, &some, change, now).await })
                });
                sum += write.await?;
            }
            if ids.len() < READ_AT_ONCE {
                return Ok(sum);
            }
        }
    }

    /// Releases the oldest of the deliveries held because the webhook fails. False: there is none.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn release_one(
        &self,
        webhook_id: WebhookId,
        now: Millis,
    ) -> Result<bool, StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let oldest = run!(conn, |c| deliveries::table
                        .filter(deliveries::webhook_id.eq(webhook_id))
                        .filter(waiting())
                        .filter(deliveries::reason.eq(reason::WEBHOOK_FAILING))
                        .order((deliveries::created_at.asc(), deliveries::id.asc()))
                        .select(deliveries::id)
                        .first::<DeliveryId>(c))
                    .optional()?;
                    let Some(id) = oldest else { return Ok(false) };
                    let count = run!(conn, |c| diesel::update(deliveries::table.find(id))
                        .filter(waiting())
                        .set((
                            deliveries::next_attempt_at.eq(Some(now)),
                            deliveries::reason.eq(None::<&str>),
                            deliveries::updated_at.eq(now),
                        ))
                        .execute(c))?;
                    Ok(count == 1)
                })
            })
            .await
    }

    /// Cancels all open deliveries of a webhook, for this reason; those in flight when their attempt ends.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn cancel_webhook(
        &self,
        webhook_id: WebhookId,
        why: &'static str,
        now: Millis,
    ) -> Result<Cancelled, StoreError> {
        let pending = self.change_waiting(webhook_id, Change::Cancel(why), now).await?;
        let rest =
            self.db.write(move |conn| Box::pin(cancel_all(conn, webhook_id, why, now))).await?;
        Ok(Cancelled { pending: pending + rest.pending, ..rest })
    }

    /// Restarts the schedule of a failed, dropped, cancelled or missed delivery; a waiting one becomes due.
    /// Attempt numbers continue.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it was delivered (replay the event instead), is in flight, or was never decided
    /// upon.
    pub async fn retry_delivery(&self, id: DeliveryId, now: Millis) -> Result<State, StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let from = [
                        State::Pending,
                        State::Failed,
                        State::Dropped,
                        State::Cancelled,
                        State::Missed,
                    ];
                    let count = run!(conn, |c| diesel::update(deliveries::table.find(id))
                        .filter(deliveries::state.eq_any(from))
                        .filter(decided())
                        .set((
                            deliveries::state.eq(State::Pending),
                            deliveries::reason.eq(None::<&str>),
                            deliveries::next_attempt_at.eq(Some(now)),
                            deliveries::schedule_start.eq(deliveries::attempts),
                            // An explicit retry is never dropped as a duplicate.
                            deliveries::dedupe_key.eq(None::<&str>),
                            deliveries::updated_at.eq(now),
                        ))
                        .execute(c))?;
                    if count == 0 { Err(standing(conn, id).await?) } else { Ok(State::Pending) }
                })
            })
            .await
    }

    /// Cancels a waiting delivery, or one in flight when its attempt ends without having delivered. Returns
    /// its state now: `Cancelled` or `InFlight`.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has ended already.
    pub async fn cancel_delivery(&self, id: DeliveryId, now: Millis) -> Result<State, StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if cancel_one(conn, id, now).await? {
                        ordering::wake_next(conn, id, now).await?;
                        return Ok(State::Cancelled);
                    }
                    if note_cancel(conn, id, State::InFlight, State::InFlight, now).await? {
                        return Ok(State::InFlight);
                    }
                    Err(standing(conn, id).await?)
                })
            })
            .await
    }
}

/// Cancels a waiting delivery. False: it is not waiting.
pub(crate) async fn cancel_one(
    conn: &mut Conn,
    id: DeliveryId,
    now: Millis,
) -> Result<bool, StoreError> {
    note_cancel(conn, id, State::Pending, State::Cancelled, now).await
}

async fn note_cancel(
    conn: &mut Conn,
    id: DeliveryId,
    from: State,
    to: State,
    now: Millis,
) -> Result<bool, StoreError> {
    let count = run!(conn, |c| diesel::update(deliveries::table.find(id))
        .filter(deliveries::state.eq(from))
        .set((
            deliveries::state.eq(to),
            deliveries::reason.eq(Some(reason::CANCELLED)),
            deliveries::next_attempt_at.eq(None::<i64>),
            deliveries::updated_at.eq(now),
        ))
        .execute(c))?;
    Ok(count == 1)
}

/// The error for a delivery whose state does not allow the change.
async fn standing(conn: &mut Conn, id: DeliveryId) -> Result<StoreError, StoreError> {
    let (state, why) = run!(conn, |c| deliveries::table
        .find(id)
        .select((deliveries::state, deliveries::reason))
        .first::<(State, Option<String>)>(c))?;
    if why.as_deref() == Some(reason::BUDGET_EXCEEDED) {
        let what = "whether the webhook wants the event was never decided; replay the event";
        return Ok(StoreError::Conflict(what.to_owned()));
    }
    Ok(StoreError::Conflict(format!("the delivery is {}", state.as_str())))
}

/// Waiting deliveries of a webhook that a change has not reached.
async fn waiting_for(
    conn: &mut Conn,
    webhook_id: WebhookId,
    change: Change,
) -> Result<Vec<DeliveryId>, StoreError> {
    Ok(run!(conn, |c, Db| {
        let query = deliveries::table
            .filter(deliveries::webhook_id.eq(webhook_id))
            .filter(waiting())
            .limit(i64::try_from(READ_AT_ONCE).unwrap_or(i64::MAX))
            .select(deliveries::id)
            .into_boxed::<Db>();
        let due = deliveries::next_attempt_at.is_not_null();
        match change {
            Change::Hold(reason) => {
                let other = deliveries::reason.is_null().or(deliveries::reason.ne(reason));
                query.filter(due.or(other.assume_not_null()))
            }
            Change::Release => query.filter(deliveries::next_attempt_at.is_null()),
            Change::Cancel(_) => query,
        }
        .load::<DeliveryId>(c)
    })?)
}

/// Changes those of the deliveries that still wait.
async fn change_some(
    conn: &mut Conn,
    ids: &[DeliveryId],
    change: Change,
    now: Millis,
) -> Result<usize, StoreError> {
    let waiting = deliveries::table.filter(deliveries::id.eq_any(ids)).filter(waiting());
    let (state, reason, due_at) = match change {
        Change::Hold(reason) => (State::Pending, Some(reason), None),
        Change::Release => (State::Pending, None, Some(now)),
        Change::Cancel(reason) => (State::Cancelled, Some(reason), None),
    };
    let set = (
        deliveries::state.eq(state),
        deliveries::reason.eq(reason),
        deliveries::next_attempt_at.eq(due_at),
        deliveries::updated_at.eq(now),
    );
    Ok(match change {
        Change::Release => {
            let held = waiting.filter(deliveries::next_attempt_at.is_null());
            run!(conn, |c| diesel::update(held).set(set).execute(c))?
        }
        Change::Hold(_) | Change::Cancel(_) => {
            run!(conn, |c| diesel::update(waiting).set(set).execute(c))?
        }
    })
}

/// Cancels the pending deliveries of a webhook, and marks those in flight.
pub(crate) async fn cancel_all(
    conn: &mut Conn,
    webhook_id: WebhookId,
    reason: &'static str,
    now: Millis,
) -> Result<Cancelled, StoreError> {
    let pending = run!(conn, |c| diesel::update(deliveries::table)
        .filter(deliveries::webhook_id.eq(webhook_id))
        .filter(waiting())
        .set((
            deliveries::state.eq(State::Cancelled),
            deliveries::reason.eq(Some(reason)),
            deliveries::next_attempt_at.eq(None::<i64>),
            deliveries::updated_at.eq(now),
        ))
        .execute(c))?;
    let in_flight = run!(conn, |c| diesel::update(deliveries::table)
        .filter(deliveries::owner_node.is_not_null())
        .filter(deliveries::webhook_id.eq(webhook_id))
        .set((deliveries::reason.eq(Some(reason)), deliveries::updated_at.eq(now)))
        .returning(deliveries::id)
        .get_results::<DeliveryId>(c))?;
    Ok(Cancelled { pending, in_flight })
}
