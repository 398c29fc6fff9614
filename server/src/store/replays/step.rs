//! A step of a replay creates deliveries and moves the position in one transaction, and only for the owner
//! that began at the position it read. After a crash, or on another node, the replay continues exactly there.

use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Replays;
use super::runs::stored;
use crate::fault::{self, Point};
use crate::model::{DeliveryId, Event, Millis, ReplayId, State};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::new_rows::{NewDelivery, Owner};
use crate::store::db::rows::Rows;
use crate::store::db::schema::{deliveries, replays};
use crate::store::history::deliveries::{InsertDeliveries, push_delivery};
use crate::store::queue::ordering;
use crate::store::queue::state_changes::cancel_one;

/// Deliveries to create, and the replay's position after them.
#[derive(Clone, Debug)]
pub struct ReplayStep {
    pub id: ReplayId,
    pub owner: Owner,
    /// Position that the replay must have for the step to count.
    pub from: String,
    /// Position afterwards.
    pub to: String,
    /// New deliveries, each optionally replacing a waiting one, which is cancelled. If that one no longer
    /// waits, or the new one already exists, none is created.
    pub deliveries: Vec<(Arc<Event>, NewDelivery, Option<DeliveryId>)>,
    /// Candidates left out, not counting those of `deliveries` that are not created.
    pub skipped: u64,
    pub now: Millis,
}

impl Replays {
    /// Creates the deliveries of a step and moves the replay on. Returns for each whether it was created.
    ///
    /// # Errors
    /// `Conflict` when the replay is not at `from`, was stopped, or has another owner: then nothing was
    /// created. `Unavailable`.
    pub async fn replay_step(&self, step: ReplayStep) -> Result<Vec<bool>, StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let deliveries = step.deliveries.iter().map(|(_, delivery, _)| delivery);
                    let mut places = ordering::places(conn, deliveries).await?;
                    let mut made = Vec::with_capacity(step.deliveries.len());
                    for (event, delivery, instead_of) in &step.deliveries {
                        let mut rows = Rows::<InsertDeliveries>::new();
                        let (owner, now) = (&step.owner, step.now);
                        let seq = places.next(delivery);
                        push_delivery(&mut rows, event, delivery, seq, owner, now);
                        made.push(make(conn, rows, *instead_of, now).await?);
                    }
                    fault::reach(Point::ReplayStep).await?;
                    let count = made.iter().filter(|made| **made).count();
                    let left_out = stored(step.skipped) + size(made.len() - count);
                    let moved = run!(conn, |c| diesel::update(replays::table.find(step.id))
                        .filter(replays::owner_node.eq(&step.owner.node))
                        .filter(replays::owner_epoch.eq(step.owner.epoch))
                        .filter(replays::position.eq(&step.from))
                        .set((
                            replays::position.eq(&step.to),
                            replays::made.eq(replays::made + size(count)),
                            replays::skipped.eq(replays::skipped + left_out),
                        ))
                        .execute(c))?;
                    match moved {
                        1 => Ok(made),
                        _ => Err(StoreError::Conflict("the replay stands elsewhere".to_owned())),
                    }
                })
            })
            .await
    }

    /// Those of the deliveries that are due, held or being attempted.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn open_deliveries(
        &self,
        ids: &[DeliveryId],
        now: Millis,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let mut lease = self.db.read().await?;
        let rows = run!(lease.conn(), |c| deliveries::table
            .filter(deliveries::id.eq_any(ids))
            .select((deliveries::id, deliveries::state, deliveries::next_attempt_at))
            .load::<(DeliveryId, State, Option<Millis>)>(c))?;
        lease.give_back();
        let open = rows.into_iter().filter(|(_, state, at)| match state {
            State::InFlight => true,
            State::Pending => at.is_none_or(|at| at <= now),
            _ => false,
        });
        Ok(open.map(|(id, ..)| id).collect())
    }
}

/// True: the delivery is new. An existing one was created for the same event before.
async fn make(
    conn: &mut Conn,
    delivery: Rows<InsertDeliveries>,
    instead_of: Option<DeliveryId>,
    now: Millis,
) -> Result<bool, StoreError> {
    if let Some(id) = instead_of
        && !cancel_one(conn, id, now).await?
    {
        return Ok(false);
    }
    let made = delivery.send(conn).await?;
    Ok(made == [true])
}

fn size(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
