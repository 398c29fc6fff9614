//! Replays as stored: their selection, progress and owner.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Replays;
use crate::model::{Millis, Replay, ReplayId, ReplayState, TenantId, WebhookId};
use crate::store::db::columns::{from_json, json_text};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::new_rows::Owner;
use crate::store::db::schema::{nodes, replays};

/// Condition: the replay has no live owner; its node is gone, or has a later epoch.
macro_rules! orphan {
    ($gone:expr, $owner:expr) => {
        replays::owner_node
            .eq_any(&$gone)
            .or(replays::owner_node.eq(&$owner.node).and(replays::owner_epoch.lt($owner.epoch)))
            .assume_not_null()
    };
}
/// Replays without an owner that are read at once: each may list many events.
const TAKE_OVER_MAX: i64 = 32;

/// How a replay ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplayEnd<'a> {
    Done,
    Failed(&'a str),
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = replays, treat_none_as_default_value = false)]
struct Row {
    id: ReplayId,
    tenant: TenantId,
    webhook_id: WebhookId,
    selection: String,
    state: ReplayState,
    pace_per_s: i64,
    total: i64,
    exact: bool,
    made: i64,
    skipped: i64,
    position: String,
    error: Option<String>,
    owner_node: Option<String>,
    owner_epoch: Option<i64>,
    started_at: Millis,
    ended_at: Option<Millis>,
}

impl Row {
    fn of(replay: &Replay, owner: &Owner) -> Result<Row, StoreError> {
        Ok(Row {
            id: replay.id,
            tenant: replay.tenant.clone(),
            webhook_id: replay.webhook_id,
            selection: json_text(&replay.selection)?,
            state: replay.state,
            pace_per_s: i64::from(replay.pace_per_s),
            total: stored(replay.total),
            exact: replay.exact,
            made: stored(replay.made),
            skipped: stored(replay.skipped),
            position: replay.position.clone(),
            error: replay.error.clone(),
            owner_node: Some(owner.node.clone()),
            owner_epoch: Some(owner.epoch),
            started_at: replay.started_at,
            ended_at: replay.ended_at,
        })
    }

    fn replay(self) -> Result<Replay, StoreError> {
        let count = |value: i64| u64::try_from(value).unwrap_or_default();
        Ok(Replay {
            id: self.id,
            tenant: self.tenant,
            webhook_id: self.webhook_id,
            selection: from_json(&self.selection)?,
            state: self.state,
            pace_per_s: u32::try_from(self.pace_per_s).unwrap_or(1),
            total: count(self.total),
            exact: self.exact,
            made: count(self.made),
            skipped: count(self.skipped),
            position: self.position,
            error: self.error,
            started_at: self.started_at,
            ended_at: self.ended_at,
        })
    }
}

pub(super) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Replays {
    /// Stores a replay that `owner` runs.
    ///
    /// # Errors
    /// `Conflict` when `running_max` replays of the tenant are running; `Unavailable`.
    pub async fn start_replay(
        &self,
        replay: &Replay,
        owner: &Owner,
        running_max: Option<usize>,
    ) -> Result<(), StoreError> {
        let row = Row::of(replay, owner)?;
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if let Some(max) = running_max {
                        let running = run!(conn, |c| replays::table
                            .filter(replays::owner_node.is_not_null())
                            .filter(replays::tenant.eq(&row.tenant))
                            .count()
                            .get_result::<i64>(c))?;
                        if running >= i64::try_from(max).unwrap_or(i64::MAX) {
                            let why = format!(
                                "{running} replays of the tenant run already (replay.running_max); \
                             wait for one of them, or stop it"
                            );
                            return Err(StoreError::Conflict(why));
                        }
                    }
                    run!(conn, |c| diesel::insert_into(replays::table).values(&row).execute(c))?;
                    Ok(())
                })
            })
            .await
    }

    /// Ends a replay. False: it has ended already, or another node owns it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_replay(
        &self,
        id: ReplayId,
        owner: &Owner,
        end: ReplayEnd<'_>,
        now: Millis,
    ) -> Result<bool, StoreError> {
        let owner = owner.clone();
        let (state, error) = match end {
            ReplayEnd::Done => (ReplayState::Done, None),
            ReplayEnd::Failed(why) => (ReplayState::Failed, Some(why.to_owned())),
        };
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let count = run!(conn, |c| diesel::update(replays::table.find(id))
                        .filter(replays::owner_node.eq(&owner.node))
                        .filter(replays::owner_epoch.eq(owner.epoch))
                        .set(ended(state, error.as_deref(), now))
                        .execute(c))?;
                    Ok(count == 1)
                })
            })
            .await
    }

    /// Stops a running replay, whichever node runs it.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has ended already; `Unavailable`.
    pub async fn stop_replay(
        &self,
        tenant: &TenantId,
        id: ReplayId,
        now: Millis,
    ) -> Result<(), StoreError> {
        let tenant = tenant.clone();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let of_tenant = replays::table.find(id).filter(replays::tenant.eq(&tenant));
                    let state =
                        run!(conn, |c| of_tenant.select(replays::state).first::<ReplayState>(c))?;
                    let count = run!(conn, |c| diesel::update(replays::table.find(id))
                        .filter(replays::owner_node.is_not_null())
                        .set(ended(ReplayState::Stopped, None, now))
                        .execute(c))?;
                    match count {
                        1 => Ok(()),
                        _ => Err(StoreError::Conflict(format!("the replay is {}", state.as_str()))),
                    }
                })
            })
            .await
    }

    /// One replay of a tenant.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unavailable`.
    pub async fn get_replay(&self, tenant: &TenantId, id: ReplayId) -> Result<Replay, StoreError> {
        let mut lease = self.db.read().await?;
        let row = run!(lease.conn(), |c| replays::table
            .find(id)
            .filter(replays::tenant.eq(tenant))
            .select(Row::as_select())
            .first::<Row>(c))
        .optional()?;
        lease.give_back();
        row.ok_or(StoreError::NotFound)?.replay()
    }

    /// A replay, if it is running and owned by `owner`.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn own_replay(
        &self,
        id: ReplayId,
        owner: &Owner,
    ) -> Result<Option<Replay>, StoreError> {
        let mut lease = self.db.read().await?;
        let row = run!(lease.conn(), |c| replays::table
            .find(id)
            .filter(replays::owner_node.eq(&owner.node))
            .filter(replays::owner_epoch.eq(owner.epoch))
            .select(Row::as_select())
            .first::<Row>(c))
        .optional()?;
        lease.give_back();
        row.map(Row::replay).transpose()
    }

    /// Running replays without a live owner: those of earlier epochs of this node, and of nodes whose lease
    /// has expired. The longest running ones, if there are many.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn orphaned_replays(
        &self,
        owner: &Owner,
        now: Millis,
    ) -> Result<Vec<Replay>, StoreError> {
        let mut lease = self.db.read().await?;
        let conn = lease.conn();
        let gone = gone(conn, owner, now).await?;
        let rows = run!(conn, |c, Db| replays::table
            .filter(replays::owner_node.is_not_null())
            .filter(orphan!(gone, owner))
            .order(replays::started_at.asc())
            .limit(TAKE_OVER_MAX)
            .select(Row::as_select())
            .into_boxed::<Db>()
            .load::<Row>(c))?;
        lease.give_back();
        rows.into_iter().map(Row::replay).collect()
    }

    /// Takes over a replay without a live owner. False: another node did so first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn claim_replay(
        &self,
        id: ReplayId,
        owner: &Owner,
        now: Millis,
    ) -> Result<bool, StoreError> {
        let owner = owner.clone();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let gone = gone(conn, &owner, now).await?;
                    let count = run!(conn, |c| diesel::update(replays::table.find(id))
                        .filter(replays::owner_node.is_not_null())
                        .filter(orphan!(gone, owner))
                        .set((
                            replays::owner_node.eq(Some(&owner.node)),
                            replays::owner_epoch.eq(Some(owner.epoch)),
                        ))
                        .execute(c))?;
                    Ok(count == 1)
                })
            })
            .await
    }

    /// Deletes replays that ended before `before`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn forget_replays(&self, before: Millis) -> Result<usize, StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    Ok(run!(conn, |c| diesel::delete(
                        replays::table.filter(replays::ended_at.lt(before))
                    )
                    .execute(c))?)
                })
            })
            .await
    }
}

async fn gone(conn: &mut Conn, owner: &Owner, now: Millis) -> Result<Vec<String>, StoreError> {
    Ok(run!(conn, |c| nodes::table
        .filter(nodes::id.ne(&owner.node))
        .filter(nodes::lease_until.lt(now))
        .select(nodes::id)
        .load::<String>(c))?)
}

#[derive(AsChangeset)]
#[diesel(table_name = replays, treat_none_as_null = true)]
struct Ended<'a> {
    state: ReplayState,
    error: Option<&'a str>,
    owner_node: Option<&'a str>,
    owner_epoch: Option<i64>,
    ended_at: Option<Millis>,
}

fn ended(state: ReplayState, error: Option<&str>, now: Millis) -> Ended<'_> {
    Ended { state, error, owner_node: None, owner_epoch: None, ended_at: Some(now) }
}
