//! Replays as lists show them: without what they select, which may name thousands of events.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Replays;
use crate::model::{Millis, ReplayId, ReplayState, TenantId, WebhookId};
use crate::store::db::conn::run;
use crate::store::db::error::StoreError;
use crate::store::db::page::{Page, Place, page, rows_to_ask};
use crate::store::db::schema::replays;

/// A replay without its selection; numbers as in [`crate::model::Replay`].
#[derive(Clone, PartialEq, Eq, Debug, Queryable, Selectable)]
#[diesel(table_name = replays)]
pub struct ListedReplay {
    pub id: ReplayId,
    pub webhook_id: WebhookId,
    pub state: ReplayState,
    pub pace_per_s: i64,
    pub total: i64,
    pub exact: bool,
    pub made: i64,
    pub skipped: i64,
    pub error: Option<String>,
    pub started_at: Millis,
    pub ended_at: Option<Millis>,
}

impl Replays {
    /// Replays of a tenant, or of one webhook, newest first.
    ///
    /// # Errors
    /// `BadCursor`, `Unavailable`.
    pub async fn list_replays(
        &self,
        tenant: &TenantId,
        webhook_id: Option<WebhookId>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<ListedReplay>, StoreError> {
        let after = cursor.map(Place::parse).transpose()?;
        let after = after.map(|place| Ok::<_, StoreError>((place.at, tie(&place)?))).transpose()?;
        let mut lease = self.db.read().await?;
        let rows = run!(lease.conn(), |c, Db| {
            let mut query = replays::table
                .select(ListedReplay::as_select())
                .filter(replays::tenant.eq(tenant))
                .order((replays::started_at.desc(), replays::id.desc()))
                .limit(rows_to_ask(limit))
                .into_boxed::<Db>();
            if let Some((at, id)) = after {
                query = query
                    .filter(replays::started_at.le(at))
                    .filter(replays::started_at.lt(at).or(replays::id.lt(id)));
            }
            if let Some(webhook_id) = webhook_id {
                query = query.filter(replays::webhook_id.eq(webhook_id));
            }
            query.load::<ListedReplay>(c)
        })?;
        lease.give_back();
        Ok(page(rows, limit, |r: &ListedReplay| Place { at: r.started_at, tie: r.id.to_string() }))
    }
}

fn tie(place: &Place) -> Result<ReplayId, StoreError> {
    place.tie.parse().map_err(|_| StoreError::BadCursor)
}
