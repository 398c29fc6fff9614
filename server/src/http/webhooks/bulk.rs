//! Bulk operations on all deliveries of a webhook.

use serde::{Deserialize, Serialize};

use super::resource::find;
use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Access, Manage};
use crate::http::edge::body::Body;
use crate::http::edge::path::Id;
use crate::model::{Invalid, Millis, State, WebhookId, reason};
use crate::store::RetrySelection;

/// What was cancelled.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct CancelledView {
    /// Deliveries that waited and are cancelled now.
    cancelled: usize,
    /// Deliveries under way, which are cancelled when their attempt ends, unless it delivers.
    in_flight: usize,
}

/// Cancel all that waits of a webhook
///
/// Attempts under way end first. What comes later is delivered as ever.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks/{id}/cancel", tag = "webhooks",
    responses((status = 200, body = CancelledView))
)]
pub(crate) async fn cancel(access: Access<Manage>, Id(id): Id<WebhookId>) -> Answer {
    find(&access.tenant, id)?;
    let now = access.app.clock.now();
    let cancelled = access.app.store.queue.cancel_webhook(id, reason::CANCELLED, now).await?;
    let in_flight = cancelled.in_flight.len();
    cancelled.in_flight.into_iter().for_each(|id| access.app.dispatcher.cancel(id));
    answer::ok(&CancelledView { cancelled: cancelled.pending, in_flight })
}

/// Which deliveries to begin anew.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryRequest {
    /// `failed` (when left out), `cancelled`, `dropped` or `missed`.
    #[schema(value_type = Option<String>)]
    state: Option<State>,
    /// Made at or after, RFC 3339.
    #[schema(value_type = Option<String>)]
    since: Option<Millis>,
    /// Made before, RFC 3339.
    #[schema(value_type = Option<String>)]
    until: Option<Millis>,
}

/// What was begun anew.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RetriedView {
    retried: usize,
    /// True: there are more; call again.
    more: bool,
}

/// Begin failed deliveries of a webhook anew
///
/// They keep their ids and what was sent; attempt numbers go on. Up to `delivery.bulk_max` of them,
/// the oldest first, in small transactions: call again while `more` is true.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks/{id}/retry", tag = "webhooks", request_body = RetryRequest,
    responses((status = 202, body = RetriedView))
)]
pub(crate) async fn retry(access: Access<Manage>, Id(id): Id<WebhookId>, body: Body) -> Answer {
    let RetryRequest { state, since, until } = body.json()?;
    let webhook = find(&access.tenant, id)?;
    let state = state.unwrap_or(State::Failed);
    if !matches!(state, State::Failed | State::Cancelled | State::Dropped | State::Missed) {
        let detail = "is failed, cancelled, dropped or missed; to send others again, replay them";
        return Err(Invalid::at("/state", detail).into());
    }
    let selection =
        RetrySelection { tenant: access.tenant.id.clone(), webhook_id: id, state, since, until };
    let (mut retried, mut more) = (0, true);
    let max = access.app.config.delivery.bulk_max;
    while more && retried < max {
        // Each batch is a transaction of its own, so that no other writer waits long for the
        // database.
        const BATCH_MAX: usize = 500;
        let limit = BATCH_MAX.min(max - retried);
        let held = find(&access.tenant, id)?.hold_reason();
        let now = access.app.clock.now();
        let count = access.app.store.queue.retry_some(&selection, limit, held, now).await?;
        retried += count;
        more = count == limit;
    }
    if webhook.hold_reason().is_some() {
        // The webhook may have been opened meanwhile.
        access.app.pipeline.release_if_open(&access.tenant, id).await?;
    }
    access.app.dispatcher.wake();
    answer::accepted(&RetriedView { retried, more })
}

/// What is left of a webhook that is drained.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct DrainedView {
    /// Attempts under way; 0: it is drained.
    in_flight: usize,
    /// Deliveries that wait until it is resumed.
    held: usize,
}

/// Drain a webhook
///
/// Pauses it, so that nothing more is begun, and says what is still under way: 202 while something
/// is, 200 when nothing is. Call again until it is 200; `resume` lets it go on.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks/{id}/drain", tag = "webhooks",
    responses(
        (status = 200, description = "Nothing is under way", body = DrainedView),
        (status = 202, description = "Attempts are under way", body = DrainedView),
    )
)]
pub(crate) async fn drain(access: Access<Manage>, Id(id): Id<WebhookId>) -> Answer {
    if !find(&access.tenant, id)?.paused {
        access.app.registry.set_webhook_state(&access.tenant, id, None, Some(true)).await?;
    }
    let (in_flight, held) = access.app.store.queue.open_of_webhook(id).await?;
    let view = DrainedView { in_flight, held };
    if in_flight == 0 { answer::ok(&view) } else { answer::accepted(&view) }
}
