//! Bulk operations on the deliveries of a webhook, in small transactions.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Queue;
use super::state_changes::{decided, waiting};
use crate::model::{DeliveryId, Millis, State, TenantId, WebhookId};
use crate::store::db::conn::{each, load_to_change, run};
use crate::store::db::error::StoreError;
use crate::store::db::schema::deliveries;
use crate::store::history::deliveries::unsent;

/// Deliveries that ended without arriving.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetrySelection {
    pub tenant: TenantId,
    pub webhook_id: WebhookId,
    /// Neither `Delivered` nor `InFlight` nor `Pending`.
    pub state: State,
    /// Created at or after.
    pub since: Option<Millis>,
    /// Created before.
    pub until: Option<Millis>,
}

impl Queue {
    /// Restarts the schedule of up to `limit` of these deliveries, the oldest first, except those that were never
    /// decided upon. With `held` they wait
    /// without a due time, for that reason. Returns how many; fewer than `limit`: there are no more.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn retry_some(
        &self,
        selection: &RetrySelection,
        limit: usize,
        held: Option<&'static str>,
        now: Millis,
    ) -> Result<usize, StoreError> {
        let selection = selection.clone();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let RetrySelection { tenant, webhook_id, state, since, until } = &selection;
                    let ids = load_to_change!(
                        conn,
                        DeliveryId,
                        deliveries::table
                            .filter(deliveries::tenant.eq(tenant))
                            .filter(deliveries::state.eq(state))
                            .filter(unsent())
                            .filter(decided())
                            .filter(deliveries::webhook_id.eq(webhook_id))
                            .filter(deliveries::created_at.ge(since.unwrap_or(Millis(i64::MIN))))
                            .filter(deliveries::created_at.lt(until.unwrap_or(Millis(i64::MAX))))
                            .order((deliveries::created_at.asc(), deliveries::id.asc()))
                            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
                            .select(deliveries::id)
                    )?;
                    let due_at = held.is_none().then_some(now);
                    each!(conn, &ids, |id, c| diesel::update(deliveries::table.find(id))
                        .filter(deliveries::state.eq(state))
                        .set((
                            deliveries::state.eq(State::Pending),
                            deliveries::reason.eq(held),
                            deliveries::next_attempt_at.eq(due_at),
                            deliveries::schedule_start.eq(deliveries::attempts),
                            deliveries::dedupe_key.eq(None::<&str>),
                            deliveries::updated_at.eq(now),
                        ))
                        .execute(c))?;
                    Ok(ids.len())
                })
            })
            .await
    }

    /// Number of a webhook's deliveries in flight, and of those waiting.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn open_of_webhook(&self, id: WebhookId) -> Result<(usize, usize), StoreError> {
        let mut lease = self.db.read().await?;
        let in_flight = run!(lease.conn(), |c| deliveries::table
            .filter(deliveries::owner_node.is_not_null())
            .filter(deliveries::webhook_id.eq(id))
            .count()
            .get_result::<i64>(c))?;
        let waiting = run!(lease.conn(), |c| deliveries::table
            .filter(deliveries::webhook_id.eq(id))
            .filter(waiting())
            .count()
            .get_result::<i64>(c))?;
        lease.give_back();
        let count = |rows: i64| usize::try_from(rows).unwrap_or_default();
        Ok((count(in_flight), count(waiting)))
    }
}
