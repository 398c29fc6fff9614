//! Deliveries and their attempts.

use serde::{Deserialize, Serialize};

use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Access, Manage, Read};
use crate::http::edge::error::{Code, Problem};
use crate::http::edge::page::{self, List, LongPaging};
use crate::http::edge::path::{Id, Query};
use crate::model::{Attempt, Delivery, DeliveryId, EventId, Millis, State, WebhookId};
use crate::store::{DeliveryFilter, StoreError};

/// One event on its way to one webhook.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct DeliveryView {
    id: DeliveryId,
    event_id: EventId,
    webhook_id: WebhookId,
    state: State,
    /// Why it stands so: a sentence, or `webhook_disabled`, `webhook_paused`, `webhook_deleted`,
    /// `plugin_paused`, `receiver_busy`, `webhook_failing`, `waits_in_order`,
    /// `cancelled`.
    reason: Option<String>,
    /// Where its last attempt ended: `transform`, `render`, `sign` or `deliver`.
    stage: Option<String>,
    /// Attempts made so far.
    attempts: u32,
    /// Null when it is held, on its way or at its end.
    next_attempt_at: Option<Millis>,
    created_at: Millis,
    /// `attributes.subject` of the event.
    subject: Option<String>,
    /// Those of the webhook with the same one are made one after the other.
    order_key: Option<String>,
}

impl DeliveryView {
    fn of(delivery: Delivery) -> DeliveryView {
        DeliveryView {
            id: delivery.id,
            event_id: delivery.event.id,
            webhook_id: delivery.webhook_id,
            state: delivery.state,
            reason: delivery.reason,
            stage: delivery.stage,
            attempts: delivery.attempts,
            next_attempt_at: delivery.next_attempt_at,
            created_at: delivery.created_at,
            subject: delivery.subject,
            order_key: delivery.order_key,
        }
    }
}

/// Which deliveries.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveryQuery {
    /// Items at most.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Of this event.
    #[param(value_type = Option<String>)]
    event_id: Option<EventId>,
    /// To this webhook.
    #[param(value_type = Option<String>)]
    webhook_id: Option<WebhookId>,
    #[param(inline)]
    state: Option<State>,
    /// Of events with this `attributes.subject`.
    subject: Option<String>,
    /// Made at or after, RFC 3339.
    #[param(value_type = Option<String>)]
    since: Option<Millis>,
    /// Made before, RFC 3339.
    #[param(value_type = Option<String>)]
    until: Option<Millis>,
}

/// List deliveries, newest first
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/deliveries", tag = "deliveries", params(DeliveryQuery),
    responses((status = 200, body = List<DeliveryView>))
)]
pub(crate) async fn list(access: Access<Read>, Query(query): Query<DeliveryQuery>) -> Answer {
    let limit = page::limit(query.limit, &access.app.config)?;
    let filter = DeliveryFilter {
        event_id: query.event_id,
        webhook_id: query.webhook_id,
        state: query.state,
        subject: query.subject,
        since: query.since,
        until: query.until,
    };
    let store = &access.app.store;
    let page = store
        .history
        .list_deliveries(&access.tenant.id, &filter, limit, query.cursor.as_deref())
        .await?;
    page::stored(page, DeliveryView::of)
}

/// Get a delivery
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/deliveries/{id}", tag = "deliveries",
    responses((status = 200, body = DeliveryView))
)]
pub(crate) async fn get(access: Access<Read>, Id(id): Id<DeliveryId>) -> Answer {
    answer::ok(&view(&access, id).await?)
}

async fn view<N>(access: &Access<N>, id: DeliveryId) -> Result<DeliveryView, Problem> {
    let stored = access.app.store.history.show_delivery(&access.tenant.id, id).await;
    let stored = stored.map_err(|error| match error {
        StoreError::NotFound => Problem::not_found("delivery"),
        error => error.into(),
    })?;
    Ok(DeliveryView::of(stored))
}

/// List the attempts of a delivery, the first one first
///
/// Requests as they were sent, secrets masked, and the first 64 KiB of what came back.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/deliveries/{id}/attempts", tag = "deliveries", params(LongPaging),
    responses((status = 200, body = List<Attempt>))
)]
pub(crate) async fn attempts(
    access: Access<Read>,
    Id(id): Id<DeliveryId>,
    Query(paging): Query<LongPaging>,
) -> Answer {
    view(&access, id).await?;
    let paging = paging.or_most(&access.app.config);
    let size = page::size(paging.limit, &access.app.config)?;
    let page = access.app.store.history.attempts(id, size, paging.cursor.as_deref()).await?;
    page::stored(page, |attempt: Attempt| attempt)
}

/// Begin a delivery anew
///
/// One that failed, was dropped, cancelled or missed, or waits. It keeps its id and, if one was
/// sent, its request; attempt numbers go on. Where the webhook is disabled or paused it is held. A
/// delivered one is 409: replay its event.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/deliveries/{id}/retry", tag = "deliveries",
    responses((status = 202, body = DeliveryView))
)]
pub(crate) async fn retry(access: Access<Manage>, Id(id): Id<DeliveryId>) -> Answer {
    let stands = view(&access, id).await?;
    if access.tenant.webhook(stands.webhook_id).is_none() {
        return Err(Problem::new(Code::Conflict, "the webhook of this delivery is deleted"));
    }
    let (store, now) = (&access.app.store, access.app.clock.now());
    let retried = store.queue.retry_delivery(id, now).await;
    retried.map_err(hint(State::Delivered, "; to send the event again, replay it"))?;
    access.app.dispatcher.wake();
    answer::accepted(&view(&access, id).await?)
}

/// Cancel a delivery
///
/// During an attempt it takes effect when that ends (202), unless it delivered.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/deliveries/{id}/cancel", tag = "deliveries",
    responses(
        (status = 200, description = "Cancelled", body = DeliveryView),
        (status = 202, description = "Cancelled when its attempt ends", body = DeliveryView),
    )
)]
pub(crate) async fn cancel(access: Access<Manage>, Id(id): Id<DeliveryId>) -> Answer {
    view(&access, id).await?;
    let cancelled = access.app.store.queue.cancel_delivery(id, access.app.clock.now()).await;
    let state = cancelled.map_err(hint(State::Failed, "; there is nothing left to cancel"))?;
    if state == State::InFlight {
        access.app.dispatcher.cancel(id);
        return answer::accepted(&view(&access, id).await?);
    }
    answer::ok(&view(&access, id).await?)
}

/// Appends a hint on what to do to the conflict of a delivery in `state`.
fn hint(state: State, hint: &'static str) -> impl Fn(StoreError) -> Problem {
    move |error| match error {
        StoreError::Conflict(detail) if detail.ends_with(state.as_str()) => {
            Problem::new(Code::Conflict, format!("{detail}{hint}"))
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_says_what_to_do() {
        let delivered = || StoreError::Conflict("the delivery is delivered".to_owned());
        let problem = hint(State::Delivered, "; replay it")(delivered());
        assert_eq!(problem.detail, "the delivery is delivered; replay it");
        assert_eq!(problem.code, Code::Conflict);
        assert_eq!(hint(State::Failed, "; no")(delivered()).detail, "the delivery is delivered");
    }
}
