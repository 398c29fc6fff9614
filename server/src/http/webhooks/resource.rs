//! Webhooks: create, read, change, delete. Actions on them are in `actions.rs`.

use std::sync::Arc;

use antar_json::{Document, Kind};
use serde::{Deserialize, Serialize};

use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Access, Manage, Read};
use crate::http::edge::body::{Body, read};
use crate::http::edge::error::Problem;
use crate::http::edge::page::{List, Paging, Selected};
use crate::http::edge::patch;
use crate::http::edge::path::{Id, Query};
use crate::http::edge::sample_event::Sample;
use crate::http::edge::settings::{saved, settings, take_secret};
use crate::model::{
    FieldError, Invalid, Millis, Signer, StandardVersion, TenantId, WebhookId, WebhookSpec,
};
use crate::pipeline::attempt::sign;
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;
use crate::registry;

/// A webhook as it is shown: its settings as saved, and what became of them. No secret.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct WebhookView {
    id: WebhookId,
    tenant: TenantId,
    #[serde(flatten)]
    spec: WebhookSpec,
    enabled: bool,
    /// New deliveries are made and held.
    paused: bool,
    /// Why it was disabled, when not by hand.
    disabled_reason: Option<String>,
    /// Since when the receiver has done nothing but fail, while only probes are sent to it.
    failing_since: Option<Millis>,
    /// Counts saves.
    revision: u32,
    /// For receivers of `standard` v1a signatures.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    created_at: Millis,
    updated_at: Millis,
    /// Shown once, by the call that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// What looks like a slip in what was just saved, though it works.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<FieldError>,
}

impl WebhookView {
    pub(crate) fn of(webhook: &Webhook) -> WebhookView {
        let mut spec = WebhookSpec::clone(&webhook.spec);
        spec.enabled = None;
        spec.profile = Some(webhook.profile.spec.name.clone());
        let ed25519 = |signer: &Signer| matches!(signer, Signer::Standard { version: StandardVersion::V1a, key } if key == "main");
        let public_key = webhook.plan.signers.iter().any(ed25519);
        WebhookView {
            id: webhook.id,
            tenant: webhook.tenant.clone(),
            spec,
            enabled: webhook.enabled,
            paused: webhook.paused,
            disabled_reason: webhook.disabled_reason.clone(),
            failing_since: webhook.failing_since,
            revision: webhook.revision,
            public_key: public_key.then(|| sign::public_key(&webhook.secret)).flatten(),
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
            secret: None,
            warnings: Vec::new(),
        }
    }

    /// The view with warnings about the new settings.
    async fn saved(access: &Access<Manage>, webhook: &Arc<Webhook>) -> WebhookView {
        let warnings = access.app.registry.warnings(&access.tenant, webhook).await;
        // It is saved, also when there is no time to look for slips.
        WebhookView { warnings: warnings.unwrap_or_default(), ..WebhookView::of(webhook) }
    }

    pub(crate) fn with_secret(webhook: &Webhook) -> WebhookView {
        let secret = Some(webhook.secret.reveal().to_owned());
        WebhookView { secret, ..WebhookView::of(webhook) }
    }
}

/// A webhook as it is posted: its settings, and a secret beside them.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "shown in the API's description; the secret is taken out by itself")]
pub(crate) struct PostedWebhook {
    #[serde(flatten)]
    spec: WebhookSpec,
    /// What deliveries are signed with. Left out at creation: one is made; later: the old one stays.
    secret: Option<String>,
    /// An event that the webhook must render for, or it is not saved. It is not stored.
    sample: Option<Sample>,
}

/// What a patch of a webhook may have.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "shown in the API's description; patches are laid over what is saved")]
pub(crate) struct WebhookPatch {
    #[serde(flatten)]
    posted: PostedWebhook,
    /// As the calls `enable` and `disable`.
    enabled: bool,
    /// As the calls `pause` and `resume`.
    paused: bool,
}

/// Read-only members of the view, which are ignored so that a webhook that was read can be put back
/// as it is.
const SHOWN_ONLY: [&str; 10] = [
    "id",
    "tenant",
    "paused",
    "disabled_reason",
    "failing_since",
    "revision",
    "public_key",
    "created_at",
    "updated_at",
    "warnings",
];

/// Splits a document into its settings and its `sample`.
fn take_sample(document: &Document) -> Result<(Document, Option<Sample>), Problem> {
    let root = document.root();
    let given = root.get("sample").filter(|value| !value.is_null());
    let sample = given.map(|value| value.raw().parse::<Document>().map_err(Problem::internal));
    let sample = sample.transpose()?.map(|sample| read(&sample)).transpose();
    Ok((patch::without(root, &["sample"]), sample.map_err(|problem| problem.below("/sample"))?))
}

/// Refuses settings that can't be rendered for the posted sample.
async fn check_sample(
    access: &Access<Manage>,
    spec: &WebhookSpec,
    sample: Option<Sample>,
) -> Result<(), Problem> {
    let Some(sample) = sample else { return Ok(()) };
    let webhook = access.app.registry.check_webhook(&access.tenant, spec.clone()).await?;
    let event = sample.event(&access.app, &access.tenant, &webhook);
    let event = event.map_err(|problem| problem.below("/sample"))?;
    Ok(registry::check_sample(&webhook, &event)?)
}

pub(crate) fn find(tenant: &Tenant, id: WebhookId) -> Result<Arc<Webhook>, Problem> {
    tenant.webhook(id).ok_or_else(|| Problem::not_found("webhook"))
}

/// Create a webhook
///
/// A `secret` may come beside the settings; left out, one is made. The answer shows it this once. So
/// may a `sample`, an event that the webhook must render for.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/webhooks", tag = "webhooks", request_body = PostedWebhook,
    responses((status = 201, body = WebhookView))
)]
pub(crate) async fn create(access: Access<Manage>, body: Body) -> Answer {
    let (spec, sample) = take_sample(&body.document()?)?;
    let (spec, secret) = take_secret(&spec)?;
    let spec: WebhookSpec = settings(&spec, &["secret", "sample"])?;
    check_sample(&access, &spec, sample).await?;
    let webhook = access.app.registry.create_webhook(&access.tenant, spec, secret).await?;
    let secret = Some(webhook.secret.reveal().to_owned());
    answer::created(&WebhookView { secret, ..WebhookView::saved(&access, &webhook).await })
}

/// Which webhooks.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WebhookQuery {
    /// Items at most.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// With this name.
    name: Option<String>,
    enabled: Option<bool>,
}

/// List webhooks, oldest first
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/webhooks", tag = "webhooks", params(WebhookQuery),
    responses((status = 200, body = List<WebhookView>))
)]
pub(crate) async fn list(access: Access<Read>, Query(query): Query<WebhookQuery>) -> Answer {
    let paging = Paging { limit: query.limit, cursor: query.cursor };
    let wanted = |webhook: &&Arc<Webhook>| {
        query.name.as_ref().is_none_or(|name| webhook.spec.name == *name)
            && query.enabled.is_none_or(|enabled| webhook.enabled == enabled)
    };
    let page = access.tenant.read(|state| {
        let webhooks = state.webhooks().filter(wanted).cloned();
        Selected::of(webhooks, |webhook| webhook.id, &paging, &access.app.config)
    })?;
    page.answer(|webhook| WebhookView::of(&webhook))
}

/// Get a webhook
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/webhooks/{id}", tag = "webhooks",
    responses((status = 200, body = WebhookView))
)]
pub(crate) async fn get(access: Access<Read>, Id(id): Id<WebhookId>) -> Answer {
    answer::ok(&WebhookView::of(&*find(&access.tenant, id)?))
}

/// Change some settings of a webhook
///
/// JSON merge patch (RFC 7396): members replace, `null` takes out. `enabled` and `paused` act like
/// the calls of these names, `secret` takes the old one's place at once.
#[utoipa::path(
    patch, path = "/v1/tenants/{tenant}/webhooks/{id}", tag = "webhooks",
    request_body(content = WebhookPatch, content_type = "application/merge-patch+json"),
    responses((status = 200, body = WebhookView))
)]
pub(crate) async fn patch(access: Access<Manage>, Id(id): Id<WebhookId>, body: Body) -> Answer {
    let (changes, sample) = take_sample(&body.document()?)?;
    let (changes, secret) = take_secret(&changes)?;
    if changes.root().kind() != Kind::Object {
        return Err(Invalid::at("", "a merge patch is a JSON object").into());
    }
    let switch = |name: &str| match changes.root().get(name) {
        None => Ok(None),
        Some(value) => match value.as_bool() {
            Some(on) => Ok(Some(on)),
            None => Err(Invalid::at(format!("/{name}"), "is true or false")),
        },
    };
    let (enabled, paused) = (switch("enabled")?, switch("paused")?);
    let changes = patch::without(changes.root(), &["enabled", "paused"]);
    let registry = &access.app.registry;
    let mut webhook = find(&access.tenant, id)?;
    if secret.is_some() || changes.root().members().next().is_some() {
        let saved = saved(&*webhook.spec)?;
        let merged = patch::merge(saved.root(), changes.root());
        let spec: WebhookSpec = settings(&merged, &["paused", "secret", "sample"])?;
        check_sample(&access, &spec, sample).await?;
        let made_from = Some(webhook.revision);
        webhook = registry.update_webhook(&access.tenant, id, spec, secret, made_from).await?;
    } else {
        check_sample(&access, &webhook.spec, sample).await?;
    }
    if enabled.is_some() || paused.is_some() {
        webhook = registry.set_webhook_state(&access.tenant, id, enabled, paused).await?;
    }
    answer::ok(&WebhookView::saved(&access, &webhook).await)
}

/// Replace all settings of a webhook
///
/// What the answers show beside the settings may stay in the document; it is not looked at.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/webhooks/{id}", tag = "webhooks", request_body = PostedWebhook,
    responses((status = 200, body = WebhookView))
)]
pub(crate) async fn put(access: Access<Manage>, Id(id): Id<WebhookId>, body: Body) -> Answer {
    let (spec, sample) = take_sample(&body.document()?)?;
    let (spec, secret) = take_secret(&spec)?;
    let spec = patch::without(spec.root(), &SHOWN_ONLY);
    let spec: WebhookSpec = settings(&spec, &["secret", "sample"])?;
    check_sample(&access, &spec, sample).await?;
    let webhook =
        access.app.registry.update_webhook(&access.tenant, id, spec, secret, None).await?;
    answer::ok(&WebhookView::saved(&access, &webhook).await)
}

/// Delete a webhook
///
/// Deliveries that wait are cancelled.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/webhooks/{id}", tag = "webhooks",
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn delete(access: Access<Manage>, Id(id): Id<WebhookId>) -> Answer {
    access.app.registry.delete_webhook(&access.tenant, id).await?;
    answer::no_content()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_taken_out_of_the_document() {
        let document: Document = r#"{"name":"a","secret":"s","rule":{"n":[1.0]}}"#.parse().unwrap();
        let (rest, secret) = take_secret(&document).unwrap();
        assert_eq!(rest.text(), r#"{"name":"a","rule":{"n":[1.0]}}"#);
        assert!(secret.unwrap().is("s"));
        let problem = take_secret(&r#"{"secret":7}"#.parse().unwrap()).unwrap_err();
        assert_eq!(problem.errors[0].pointer, "/secret");
    }

    #[test]
    fn a_misspelt_secret_is_told_of_the_member() {
        let told = |text: &str| {
            let problem = settings::<WebhookSpec>(&text.parse().unwrap(), &["secret"]).unwrap_err();
            assert!(problem.detail.ends_with(&problem.errors[0].detail), "{}", problem.detail);
            problem.errors[0].detail.ends_with(", `secret`")
        };
        assert!(told(r#"{"name":"a","event_types":["*"],"url":"x","secrit":"s"}"#));
        assert!(!told(r#"{"name":"a","event_types":["*"],"url":"x","retry":{"secrit":"s"}}"#));
        assert!(!told(r#"{"name":"a","event_types":["*"],"url":7}"#));
    }
}
