//! Actions on a webhook: test, rotate its secret, enable, disable, pause, resume, revert.

use serde::{Deserialize, Serialize};

use super::resource::{WebhookView, find};
use crate::http::edge::answer::{self, Answer, StoredJson};
use crate::http::edge::auth::{Access, Manage, Read};
use crate::http::edge::body::{Body, read};
use crate::http::edge::error::Problem;
use crate::http::edge::page::{self, List, LongPaging};
use crate::http::edge::path::{Id, Query};
use crate::http::edge::sample_event::Sample;
use crate::http::edge::settings::take_secret;
use crate::model::{Invalid, Millis, Response, SentRequest, WebhookId};
use crate::pipeline::client::timing::Timing;
use crate::pipeline::inspect::test_hook::TestReport;
use crate::registry::ChangeError;

/// What was sent and what came back.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TestView {
    /// Null when a plugin or template stopped it; then `error` says why.
    request: Option<SentRequest>,
    response: Option<Response>,
    /// Why it was no success; null when it was one.
    error: Option<String>,
    /// Template tokens that did not resolve.
    unresolved: Vec<String>,
    took_ms: u64,
    /// What the sending took; null when nothing was sent.
    timing: Option<Timing>,
}

impl TestView {
    fn of(report: TestReport) -> TestView {
        let TestReport { request, response, error, unresolved, took_ms, timing } = report;
        TestView { request, response, error, unresolved, took_ms, timing }
    }
}

/// Send one test request
///
/// Whether the webhook is enabled and what it wants does not matter; plugins and templates run,
/// one request goes out, nothing is stored.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks/{id}/test", tag = "webhooks", request_body = Sample,
    responses((status = 200, body = TestView))
)]
pub(crate) async fn test(access: Access<Manage>, Id(id): Id<WebhookId>, body: Body) -> Answer {
    let sample: Sample = body.json()?;
    let webhook = find(&access.tenant, id)?;
    let event = sample.event(&access.app, &access.tenant, &webhook)?;
    let report = access.app.pipeline.test(&access.tenant, &webhook, event).await;
    answer::ok(&TestView::of(report))
}

/// A secret of one's own.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "shown in the API's description; the secret is taken out by itself")]
pub(crate) struct RotateRequest {
    /// Left out: one is made as the profile wants it.
    secret: Option<String>,
}

/// Put a new secret in place
///
/// The answer shows it this once. Signers that carry two signatures go on with the old one as well,
/// for `delivery.rotation_overlap_ms`.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks/{id}/secret/rotate", tag = "webhooks", request_body = RotateRequest,
    responses((status = 200, body = WebhookView))
)]
pub(crate) async fn rotate(access: Access<Manage>, Id(id): Id<WebhookId>, body: Body) -> Answer {
    let (rest, secret) = take_secret(&body.document()?)?;
    let _: Nothing = read(&rest)?;
    let webhook = access.app.registry.rotate_secret(&access.tenant, id, secret).await?;
    answer::ok(&WebhookView::with_secret(&webhook))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn switch(
    access: Access<Manage>,
    id: WebhookId,
    enabled: Option<bool>,
    paused: Option<bool>,
) -> Answer {
    let changed =
        access.app.registry.set_webhook_state(&access.tenant, id, enabled, paused).await?;
    access.app.dispatcher.wake();
    answer::ok(&WebhookView::of(&changed))
}

/// Enable a webhook
///
/// Deliveries that were held go on. What it missed meanwhile can be replayed.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks/{id}/enable", tag = "webhooks",
    responses((status = 200, body = WebhookView))
)]
pub(crate) async fn enable(access: Access<Manage>, Id(id): Id<WebhookId>) -> Answer {
    switch(access, id, Some(true), None).await
}

/// Disable a webhook
///
/// New matches are `missed`; what waits is held.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks/{id}/disable", tag = "webhooks",
    responses((status = 200, body = WebhookView))
)]
pub(crate) async fn disable(access: Access<Manage>, Id(id): Id<WebhookId>) -> Answer {
    switch(access, id, Some(false), None).await
}

/// Pause a webhook
///
/// New deliveries are made and held.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks/{id}/pause", tag = "webhooks",
    responses((status = 200, body = WebhookView))
)]
pub(crate) async fn pause(access: Access<Manage>, Id(id): Id<WebhookId>) -> Answer {
    switch(access, id, None, Some(true)).await
}

/// Resume a paused webhook
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks/{id}/resume", tag = "webhooks",
    responses((status = 200, body = WebhookView))
)]
pub(crate) async fn resume(access: Access<Manage>, Id(id): Id<WebhookId>) -> Answer {
    switch(access, id, None, Some(false)).await
}

/// A webhook as it was saved once.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RevisionView {
    revision: u32,
    created_at: Millis,
    /// The settings of then.
    #[schema(value_type = crate::model::WebhookSpec)]
    spec: StoredJson,
}

/// List the revisions of a webhook, newest first
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/webhooks/{id}/revisions", tag = "webhooks", params(LongPaging),
    responses((status = 200, body = List<RevisionView>))
)]
pub(crate) async fn revisions(
    access: Access<Read>,
    Id(id): Id<WebhookId>,
    Query(paging): Query<LongPaging>,
) -> Answer {
    find(&access.tenant, id)?;
    let paging = paging.or_most(&access.app.config);
    let size = page::size(paging.limit, &access.app.config)?;
    let configuration = &access.app.store.configuration;
    let page = configuration.webhook_revisions(id, size, paging.cursor.as_deref()).await?;
    page::stored(page, |row| RevisionView {
        revision: row.revision,
        created_at: row.created_at,
        spec: StoredJson(row.spec),
    })
}

/// Which revision.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevertRequest {
    revision: u32,
}

/// Bring the settings of a revision back
///
/// They become a new revision. Secret and state stay.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks/{id}/revert", tag = "webhooks", request_body = RevertRequest,
    responses((status = 200, body = WebhookView))
)]
pub(crate) async fn revert(access: Access<Manage>, Id(id): Id<WebhookId>, body: Body) -> Answer {
    let RevertRequest { revision } = body.json()?;
    let reverted = access.app.registry.revert_webhook(&access.tenant, id, revision).await;
    let webhook = reverted.map_err(|error| match error {
        ChangeError::NotFound("revision") => {
            Invalid::at("/revision", "is none of this webhook; GET …/revisions lists them").into()
        }
        error => Problem::from(error),
    })?;
    answer::ok(&WebhookView::of(&webhook))
}
