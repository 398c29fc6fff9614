//! Explanations of why an event was delivered, or not.

use std::collections::HashMap;
use std::sync::Arc;

use antar_json::Steps;
use serde::Deserialize;
use serde_json::json;

use super::resource::find;
use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Access, Read};
use crate::http::edge::error::Problem;
use crate::http::edge::page::{List, Paging, Selected};
use crate::http::edge::path::{Id, Query};
use crate::model::{Delivery, EventId, State, WebhookId};
use crate::pipeline::compiled::webhook::Webhook;
use crate::pipeline::inspect::explain::{DeliveryContext, Explanation, explain};
use crate::store::{DeliveryFilter, StoredEvent};

/// What became of an event at every webhook, by webhook, oldest first
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/events/{id}/explain", tag = "events", params(Paging),
    responses((status = 200, body = List<Explanation>))
)]
pub(crate) async fn event(
    access: Access<Read>,
    Id(id): Id<EventId>,
    Query(mut paging): Query<Paging>,
) -> Answer {
    // By default, the page holds as many webhooks as possible.
    paging.limit = paging.limit.or(Some(access.app.config.tenant.page_max));
    let event = access.app.store.history.get_event(&access.tenant.id, &id, None).await?;
    let deliveries = newest_deliveries(&access, &event, None).await?;
    let webhooks = access.tenant.read(|state| {
        Selected::of(state.webhooks().cloned(), |webhook| webhook.id, &paging, &access.app.config)
    })?;
    let mut arounds = HashMap::new();
    for webhook in webhooks.items() {
        let context = context(&access, webhook.id, deliveries.get(&webhook.id)).await?;
        arounds.insert(webhook.id, context);
    }
    let (config, tenant) = (access.app.config.clone(), access.tenant.clone());
    let explain_all = move || {
        let unknown = DeliveryContext::default();
        let left = Steps::new(config.intake.route_steps_max);
        let mut written = webhooks.write(|webhook| {
            let context = arounds.get(&webhook.id).unwrap_or(&unknown);
            let delivery = deliveries.get(&webhook.id);
            let explain_it = |part: &Steps| about(&webhook, &event, delivery, context, part);
            Some(left.part(config.intake.rule_steps_max, explain_it))
        })?;
        if written.is_last() {
            let gone = deliveries.values().filter(|d| tenant.webhook(d.webhook_id).is_none());
            for delivery in gone {
                written.append(&of_deleted(delivery))?;
            }
        }
        Ok::<_, Problem>(written)
    };
    Ok(access.app.pipeline.work.run(&access.tenant.id, explain_all).await??.answer())
}

/// Which event.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventIdQuery {
    /// Id of the event.
    #[param(value_type = String)]
    event: EventId,
}

/// What became of an event at one webhook
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/webhooks/{id}/explain", tag = "webhooks", params(EventIdQuery),
    responses((status = 200, body = Explanation))
)]
pub(crate) async fn webhook(
    access: Access<Read>,
    Id(id): Id<WebhookId>,
    Query(query): Query<EventIdQuery>,
) -> Answer {
    let webhook = find(&access.tenant, id)?;
    let event = access.app.store.history.get_event(&access.tenant.id, &query.event, None).await?;
    let deliveries = newest_deliveries(&access, &event, Some(id)).await?;
    let delivery = deliveries.get(&id).cloned();
    let context = context(&access, id, delivery.as_ref()).await?;
    let steps = Steps::new(access.app.config.intake.rule_steps_max);
    let explain_it = move || about(&webhook, &event, delivery.as_ref(), &context, &steps);
    answer::ok(&access.app.pipeline.work.run(&access.tenant.id, explain_it).await?)
}

/// Other state that affects a delivery: whether its webhook rests, and which delivery it waits
/// behind.
async fn context(
    access: &Access<Read>,
    id: WebhookId,
    delivery: Option<&Delivery>,
) -> Result<DeliveryContext, Problem> {
    let app = &access.app;
    let waits = |d: &&Delivery| d.state == State::Pending && d.order_key.is_some();
    let behind = match delivery.filter(waits) {
        Some(delivery) => app.store.queue.held_back_by(delivery.id).await?,
        None => None,
    };
    Ok(DeliveryContext {
        now: app.clock.now(),
        rests_until: app.dispatcher.rests_until(id),
        behind: behind.map(|before| before.event_id),
    })
}

/// Explanation of a delivery whose webhook was deleted.
fn of_deleted(delivery: &Delivery) -> Explanation {
    Explanation {
        webhook_id: delivery.webhook_id,
        name: String::new(),
        outcome: delivery.state.as_str().to_owned(),
        stage: delivery.stage.clone().unwrap_or_else(|| "deliver".to_owned()),
        reason: Some("the webhook was deleted".to_owned()),
        detail: json!({ "delivery_id": delivery.id, "attempts": delivery.attempts, "reason": delivery.reason }),
    }
}

fn about(
    webhook: &Arc<Webhook>,
    event: &StoredEvent,
    delivery: Option<&Delivery>,
    context: &DeliveryContext,
    steps: &Steps,
) -> Explanation {
    match (&event.dropped_reason, delivery) {
        // The event's data was never stored, so the webhook's filters can't be evaluated.
        (Some(reason), None) => Explanation {
            webhook_id: webhook.id,
            name: webhook.spec.name.clone(),
            outcome: "dropped".to_owned(),
            stage: "intake".to_owned(),
            reason: Some(reason.clone()),
            detail: json!({}),
        },
        _ => explain(webhook, &event.event, delivery, context, steps),
    }
}

/// The newest delivery of an event to each webhook, or to one.
async fn newest_deliveries(
    access: &Access<Read>,
    event: &StoredEvent,
    webhook_id: Option<WebhookId>,
) -> Result<HashMap<WebhookId, Delivery>, Problem> {
    const ROWS_AT_ONCE: usize = 1_000;
    let filter = DeliveryFilter {
        event_id: Some(event.event.key.id.clone()),
        webhook_id,
        ..DeliveryFilter::default()
    };
    let (mut newest, mut cursor) = (HashMap::new(), None::<String>);
    loop {
        let tenant = &access.tenant.id;
        let page = access
            .app
            .store
            .history
            .list_deliveries(tenant, &filter, ROWS_AT_ONCE, cursor.as_deref())
            .await?;
        for delivery in page.data {
            // An event with the same id from another source is a different event.
            if delivery.event == event.event.key {
                newest.entry(delivery.webhook_id).or_insert(delivery);
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(newest);
        }
    }
}
