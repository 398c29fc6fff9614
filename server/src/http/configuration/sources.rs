//! Sources: configuration of incoming URLs. Calls to these URLs are handled in `incoming.rs`.

use std::sync::Arc;

use antar_json::Kind;
use antar_template::MASK;
use serde::Serialize;

use crate::config::Config;
use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Access, Manage, Read};
use crate::http::edge::body::{Body, read};
use crate::http::edge::error::Problem;
use crate::http::edge::page::{List, Paging, Selected};
use crate::http::edge::path::{Id, Query};
use crate::http::edge::settings::{saved, settings, take_secret};
use crate::http::edge::{auth, patch};
use crate::model::{FieldError, Invalid, Millis, SourceId, SourceSpec, TenantId};
use crate::pipeline::accept::source::Source;
use crate::pipeline::compiled::tenant::Tenant;

/// A source as it is shown. Its secret is part of the URL, and masked there.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SourceView {
    id: SourceId,
    tenant: TenantId,
    #[serde(flatten)]
    spec: SourceSpec,
    /// Where to call, with any method.
    url: String,
    created_at: Millis,
    updated_at: Millis,
    /// Shown once, by the call that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Likely slips in the settings, by the call that saved them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<FieldError>,
}

/// A source as it is posted: its settings, and a secret beside them.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "shown in the API's description; the secret is taken out by itself")]
pub(crate) struct PostedSource {
    #[serde(flatten)]
    spec: SourceSpec,
    /// Part of the URL; left out: one is made.
    secret: Option<String>,
}

/// What a patch of a source may have.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "shown in the API's description; patches are laid over what is saved")]
pub(crate) struct SourcePatch {
    #[serde(flatten)]
    spec: SourceSpec,
}

impl SourceView {
    fn of(source: &Source, config: &Config) -> SourceView {
        SourceView::with(source, config, MASK, None)
    }

    fn with_secret(source: &Source, config: &Config) -> SourceView {
        let secret = source.secret.reveal();
        SourceView::with(source, config, secret, Some(secret.to_owned()))
    }

    /// The view with warnings about the new settings.
    fn saved(self, source: &Source, tenant: &Tenant) -> SourceView {
        let mut warnings = source.warnings();
        for name in source.spec.secrets().filter(|name| tenant.secret(name).is_none()) {
            let detail =
                format!("there is no secret `{name}` yet: until it is put, calls are refused");
            warnings.push(FieldError::new("", detail));
        }
        SourceView { warnings, ..self }
    }

    fn with(source: &Source, config: &Config, shown: &str, secret: Option<String>) -> SourceView {
        let mut spec = source.spec.clone();
        spec.profile = Some(source.profile.spec.name.clone());
        SourceView {
            id: source.id,
            tenant: source.tenant.clone(),
            spec,
            url: url_of(source, config, shown),
            created_at: source.created_at,
            updated_at: source.updated_at,
            secret,
            warnings: Vec::new(),
        }
    }
}

/// The URL of a source, with the path that its profile documents, or else `/in/…`.
fn url_of(source: &Source, config: &Config, secret: &str) -> String {
    let base = config.server.base_url();
    let of_profile =
        source.profile.spec.incoming.as_ref().and_then(|incoming| incoming.path.as_deref());
    let path = of_profile.unwrap_or("/in/{source}/{secret}");
    format!(
        "{base}{}",
        path.replace("{source}", &source.id.to_string()).replace("{secret}", secret)
    )
}

fn find<N: auth::Needs>(access: &Access<N>, id: SourceId) -> Result<Arc<Source>, Problem> {
    let source = access.app.registry.source(id).filter(|source| source.tenant == access.tenant.id);
    source.ok_or_else(|| Problem::not_found("source"))
}

/// Create a source
///
/// The answer shows `secret` and the whole `url` this once.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/sources", tag = "sources", request_body = PostedSource,
    responses((status = 201, body = SourceView))
)]
pub(crate) async fn create(access: Access<Manage>, body: Body) -> Answer {
    let (spec, secret) = take_secret(&body.document()?)?;
    let spec: SourceSpec = settings(&spec, &["secret", "warnings"])?;
    let source = access.app.registry.create_source(&access.tenant, spec, secret).await?;
    let view = SourceView::with_secret(&source, &access.app.config);
    answer::created(&view.saved(&source, &access.tenant))
}

/// List sources, oldest first
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/sources", tag = "sources", params(Paging),
    responses((status = 200, body = List<SourceView>))
)]
pub(crate) async fn list(access: Access<Read>, Query(paging): Query<Paging>) -> Answer {
    let config = &access.app.config;
    let sources = access.app.registry.sources(&access.tenant.id).into_iter();
    let page = Selected::of(sources, |source| source.id, &paging, config)?;
    page.answer(|source| SourceView::of(&source, config))
}

/// Get a source
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/sources/{id}", tag = "sources",
    responses((status = 200, body = SourceView))
)]
pub(crate) async fn get(access: Access<Read>, Id(id): Id<SourceId>) -> Answer {
    answer::ok(&SourceView::of(&*find(&access, id)?, &access.app.config))
}

/// Change some settings of a source
///
/// JSON merge patch (RFC 7396). The secret is changed by rotating it.
#[utoipa::path(
    patch, path = "/v1/tenants/{tenant}/sources/{id}", tag = "sources",
    request_body(content = SourcePatch, content_type = "application/merge-patch+json"),
    responses((status = 200, body = SourceView))
)]
pub(crate) async fn patch(access: Access<Manage>, Id(id): Id<SourceId>, body: Body) -> Answer {
    let changes = body.document()?;
    if changes.root().kind() != Kind::Object {
        return Err(Invalid::at("", "a merge patch is a JSON object").into());
    }
    let saved = saved(&find(&access, id)?.spec)?;
    let spec: SourceSpec = read(&patch::merge(saved.root(), changes.root()))?;
    let source = access.app.registry.update_source(&access.tenant, id, spec).await?;
    answer::ok(&SourceView::of(&source, &access.app.config).saved(&source, &access.tenant))
}

/// Put a new secret in place
///
/// The old URL is dead at once; the answer shows the new one this once.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/sources/{id}/secret/rotate", tag = "sources",
    responses((status = 200, body = SourceView))
)]
pub(crate) async fn rotate(access: Access<Manage>, Id(id): Id<SourceId>) -> Answer {
    let source = access.app.registry.rotate_source_secret(&access.tenant, id).await?;
    answer::ok(&SourceView::with_secret(&source, &access.app.config))
}

/// Delete a source
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/sources/{id}", tag = "sources",
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn delete(access: Access<Manage>, Id(id): Id<SourceId>) -> Answer {
    access.app.registry.delete_source(&access.tenant, id).await?;
    answer::no_content()
}
