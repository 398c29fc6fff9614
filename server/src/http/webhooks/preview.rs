//! Dry run of an event through the whole pipeline.

use std::sync::Arc;

use antar_json::{Document, Kind};
use serde::Deserialize;

use super::resource::find;
use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Access, Manage};
use crate::http::edge::body::{Body, read};
use crate::http::edge::error::Problem;
use crate::http::edge::sample_event::{self, Sample};
use crate::http::edge::settings::take_secret;
use crate::model::{Event, EventId, FieldError, Invalid, WebhookId};
use crate::pipeline::compiled::webhook::Webhook;
use crate::pipeline::inspect::preview::Preview;

/// What to preview.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewRequest {
    /// The id of a webhook, or one as it would be saved.
    #[schema(value_type = Object)]
    webhook: Document,
    /// The id of an event, or one as it would be posted; without `data` its type's example is taken.
    /// Left out: the example of the first type that the webhook takes.
    #[schema(value_type = Option<Object>)]
    event: Option<Document>,
}

/// Run the stages without sending
///
/// `enabled` is ignored. A webhook that is given whole is checked as at save. It takes a key with
/// `manage`, because what is shown is signed, and plugins see the secrets of their configs.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/preview", tag = "webhooks", request_body = PreviewRequest,
    responses((status = 200, body = Preview))
)]
pub(crate) async fn preview(access: Access<Manage>, body: Body) -> Answer {
    let request: PreviewRequest = body.json()?;
    let webhook =
        webhook(&access, &request.webhook).await.map_err(|problem| problem.below("/webhook"))?;
    let event = match &request.event {
        Some(given) => event(&access, &webhook, given).await,
        None => Sample::default().event(&access.app, &access.tenant, &webhook),
    };
    let event = event.map_err(|problem| problem.below("/event"))?;
    let (tenant, registry) = (&access.tenant, &access.app.registry);
    let mut preview = access.app.pipeline.preview(tenant, &webhook, event).await?;
    preview.warnings.extend(registry.warnings(tenant, &webhook).await?);
    if let Some(said) = kept_back(&webhook) {
        preview.warnings.push(FieldError::new(said.0, said.1));
    }
    answer::ok(&preview)
}

async fn webhook(access: &Access<Manage>, given: &Document) -> Result<Arc<Webhook>, Problem> {
    if let Some(id) = given.root().as_str() {
        let id: WebhookId = id.parse().map_err(|_| Problem::not_found("webhook"))?;
        return find(&access.tenant, id);
    }
    if given.root().kind() != Kind::Object {
        return Err(Invalid::at("", "is the id of a webhook, or a webhook").into());
    }
    let (spec, secret) = take_secret(given)?;
    let mut webhook = access.app.registry.check_webhook(&access.tenant, read(&spec)?).await?;
    if let Some(secret) = secret {
        webhook.secret = secret;
    }
    Ok(Arc::new(webhook))
}

/// Why a live event would not be sent now.
fn kept_back(webhook: &Webhook) -> Option<(&'static str, &'static str)> {
    match (webhook.enabled, webhook.paused) {
        (false, _) => Some(("/enabled", "the webhook is disabled: live events are missed")),
        (true, true) => Some(("/paused", "the webhook is paused: live events wait")),
        (true, false) => None,
    }
}

async fn event(
    access: &Access<Manage>,
    webhook: &Webhook,
    given: &Document,
) -> Result<Event, Problem> {
    if let Some(id) = given.root().as_str() {
        let id: EventId = id.parse().map_err(|_| Problem::not_found("event"))?;
        return Ok(access.app.store.history.get_event(&access.tenant.id, &id, None).await?.event);
    }
    sample_event::posted(&access.app, &access.tenant, Some(&webhook.profile), given)
}
