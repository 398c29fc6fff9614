//! Replays: started at a webhook, then listed, read and stopped.

use serde::{Deserialize, Serialize};

use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Access, Manage, Read};
use crate::http::edge::body::Body;
use crate::http::edge::error::Problem;
use crate::http::edge::page::{self, List};
use crate::http::edge::path::{Id, Query};
use crate::http::webhooks::resource::find;
use crate::model::{DeliveryId, Millis, Replay, ReplayId, ReplayState, WebhookId};
use crate::replay::{Plan, ReplayRequest, Started};
use crate::store::{ListedReplay, StoreError};

/// Old events on their way once more.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ReplayView {
    id: ReplayId,
    webhook_id: WebhookId,
    state: ReplayState,
    /// Events that were selected when it began.
    total: u64,
    /// False: there were more; counting ended at `replay.look_max`.
    exact: bool,
    /// Deliveries made so far.
    made: u64,
    /// Looked at and left out: not meant by the filter, sent by this replay already, taken up or
    /// erased meanwhile.
    skipped: u64,
    /// Deliveries made in a second, where it is not finished at once.
    pace_per_s: u32,
    started_at: Millis,
    /// Null while it runs.
    ended_at: Option<Millis>,
    /// Why it failed.
    error: Option<String>,
}

impl ReplayView {
    fn of(replay: Replay) -> ReplayView {
        ReplayView {
            id: replay.id,
            webhook_id: replay.webhook_id,
            state: replay.state,
            total: replay.total,
            exact: replay.exact,
            made: replay.made,
            skipped: replay.skipped,
            pace_per_s: replay.pace_per_s,
            started_at: replay.started_at,
            ended_at: replay.ended_at,
            error: replay.error,
        }
    }

    fn listed(replay: ListedReplay) -> ReplayView {
        let count = |value: i64| u64::try_from(value).unwrap_or_default();
        ReplayView {
            id: replay.id,
            webhook_id: replay.webhook_id,
            state: replay.state,
            total: count(replay.total),
            exact: replay.exact,
            made: count(replay.made),
            skipped: count(replay.skipped),
            pace_per_s: u32::try_from(replay.pace_per_s).unwrap_or(1),
            started_at: replay.started_at,
            ended_at: replay.ended_at,
            error: replay.error,
        }
    }
}

/// A replay that was begun.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct StartedView {
    #[serde(flatten)]
    replay: ReplayView,
    /// Events sent again, or, while it runs, to be sent.
    count: u64,
    /// The first 100 deliveries of one that was finished at once; a running one makes its own as it
    /// goes.
    #[schema(value_type = Vec<String>)]
    delivery_ids: Vec<DeliveryId>,
}

impl StartedView {
    fn of(started: Started) -> StartedView {
        let Started { replay, delivery_ids } = started;
        let running = replay.state == ReplayState::Running;
        let count = if running { replay.total } else { replay.made };
        StartedView { replay: ReplayView::of(replay), count, delivery_ids }
    }
}

/// Send old events again
///
/// Makes new deliveries, with new ids, of old events through today's settings, each event once. A
/// small replay is `done` when it is answered; a larger one is `running`: ask for it under `replays`,
/// and stop it there. With `dry_run` nothing is made: the answer says how many events are meant and
/// shows three of them rendered.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks/{id}/replay", tag = "replays", request_body = ReplayRequest,
    responses((status = 202, body = StartedView), (status = 200, description = "The answer to a `dry_run`", body = Plan))
)]
pub(crate) async fn start(access: Access<Manage>, Id(id): Id<WebhookId>, body: Body) -> Answer {
    let request: ReplayRequest = body.json()?;
    let webhook = find(&access.tenant, id)?;
    let replays = &access.app.replays;
    if request.dry_run {
        return answer::ok(&replays.plan(&access.tenant, &webhook, &request).await?);
    }
    let started = replays.start(&access.tenant, &webhook, &request).await?;
    answer::accepted(&StartedView::of(started))
}

/// Which replays.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReplayQuery {
    /// Items at most.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// To this webhook.
    #[param(value_type = Option<String>)]
    webhook_id: Option<WebhookId>,
}

/// List replays, newest first
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/replays", tag = "replays", params(ReplayQuery),
    responses((status = 200, body = List<ReplayView>))
)]
pub(crate) async fn list(access: Access<Read>, Query(query): Query<ReplayQuery>) -> Answer {
    let limit = page::limit(query.limit, &access.app.config)?;
    let cursor = query.cursor.as_deref();
    let page = access
        .app
        .store
        .replays
        .list_replays(&access.tenant.id, query.webhook_id, limit, cursor)
        .await?;
    page::stored(page, ReplayView::listed)
}

/// Get a replay: how far it is
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/replays/{id}", tag = "replays",
    responses((status = 200, body = ReplayView))
)]
pub(crate) async fn get(access: Access<Read>, Id(id): Id<ReplayId>) -> Answer {
    let replay = access.app.store.replays.get_replay(&access.tenant.id, id).await;
    answer::ok(&ReplayView::of(replay.map_err(problem)?))
}

/// Stop a replay
///
/// It makes no more deliveries; those that it made go on. One that has ended is 409.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/replays/{id}/stop", tag = "replays",
    responses((status = 200, body = ReplayView))
)]
pub(crate) async fn stop(access: Access<Manage>, Id(id): Id<ReplayId>) -> Answer {
    let (store, tenant) = (&access.app.store, &access.tenant.id);
    store.replays.stop_replay(tenant, id, access.app.clock.now()).await.map_err(problem)?;
    answer::ok(&ReplayView::of(store.replays.get_replay(tenant, id).await.map_err(problem)?))
}

fn problem(error: StoreError) -> Problem {
    match error {
        StoreError::NotFound => Problem::not_found("replay"),
        error => error.into(),
    }
}
