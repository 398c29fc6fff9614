//! Webhooks whose deliveries only fail, as stored for all nodes.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Queue;
use crate::model::{Millis, TenantId, WebhookId};
use crate::store::db::conn::run;
use crate::store::db::error::StoreError;
use crate::store::db::schema::webhooks;

/// A webhook that has been failing for a long time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FailingWebhook {
    pub id: WebhookId,
    pub tenant: TenantId,
    pub since: Millis,
    /// Its tenant was notified.
    pub told: bool,
    /// Only probes are sent to it.
    pub probed: bool,
}

impl Queue {
    /// All enabled webhooks that fail.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn failing_webhooks(&self) -> Result<Vec<FailingWebhook>, StoreError> {
        type Row = (WebhookId, TenantId, Option<Millis>, bool, bool);
        let mut lease = self.db.read().await?;
        let rows = run!(lease.conn(), |c| webhooks::table
            .filter(webhooks::failing_since.is_not_null())
            .filter(webhooks::enabled.eq(true))
            .select((
                webhooks::id,
                webhooks::tenant,
                webhooks::failing_since,
                webhooks::failing_told_at.is_not_null(),
                webhooks::probed,
            ))
            .load::<Row>(c))?;
        lease.give_back();
        let failing = rows.into_iter().filter_map(|(id, tenant, since, told, probed)| {
            Some(FailingWebhook { id, tenant, since: since?, told, probed })
        });
        Ok(failing.collect())
    }

    /// Records since when a webhook fails, unless that is already recorded, and whether only probes are sent.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_failing(
        &self,
        id: WebhookId,
        since: Millis,
        probed: bool,
    ) -> Result<(), StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    run!(conn, |c| diesel::update(webhooks::table.find(id))
                        .filter(webhooks::failing_since.is_null())
                        .set(webhooks::failing_since.eq(Some(since)))
                        .execute(c))?;
                    run!(conn, |c| diesel::update(webhooks::table.find(id))
                        .set(webhooks::probed.eq(probed))
                        .execute(c))?;
                    Ok(())
                })
            })
            .await
    }

    /// Records that the tenant is notified. False: another node has already done so.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_told(&self, id: WebhookId, now: Millis) -> Result<bool, StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let count = run!(conn, |c| diesel::update(webhooks::table.find(id))
                        .filter(webhooks::failing_told_at.is_null())
                        .set(webhooks::failing_told_at.eq(Some(now)))
                        .execute(c))?;
                    Ok(count == 1)
                })
            })
            .await
    }

    /// Clears the record: the webhook works again, or gets a fresh start.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_working(&self, id: WebhookId) -> Result<(), StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    run!(conn, |c| diesel::update(webhooks::table.find(id))
                        .set((
                            webhooks::failing_since.eq(None::<i64>),
                            webhooks::failing_told_at.eq(None::<i64>),
                            webhooks::probed.eq(false),
                        ))
                        .execute(c))?;
                    Ok(())
                })
            })
            .await
    }
}
