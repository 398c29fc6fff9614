//! Calls and events that were refused: kept, listed, and sent in again.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::incoming::{Taken, take_in};
use super::resource::{PostedBody, take_posted};
use crate::app::App;
use crate::http::edge::answer::{self, Answer, StoredJson};
use crate::http::edge::auth::{Access, Manage, Read};
use crate::http::edge::error::{Code, Problem};
use crate::http::edge::page::{self, List};
use crate::http::edge::path::{Id, Query};
use crate::model::{FieldError, Hops, Millis, RejectionId, SourceId, TenantId};
use crate::pipeline::accept::call::Call;
use crate::pipeline::accept::verify::Caller;
use crate::pipeline::compiled::tenant::Tenant;
use crate::store::{ListedRejection, RejectionRow, StoreError};

/// A refused call to a source, or refused events.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RejectionView {
    id: RejectionId,
    /// The source that was called; null where events were posted.
    source_id: Option<SourceId>,
    rejected_at: Millis,
    /// Code and detail of the problem that it was answered with.
    code: String,
    reason: String,
    #[schema(value_type = Vec<FieldError>)]
    errors: StoredJson,
    method: String,
    /// Without the secret of a source.
    path: String,
    body_bytes: i64,
}

/// A rejection with what was sent.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RejectionDetail {
    #[serde(flatten)]
    rejection: RejectionView,
    query: String,
    /// With secrets masked.
    #[schema(value_type = BTreeMap<String, String>)]
    headers: StoredJson,
    /// Null if it is no text, or was too long to be kept.
    body: Option<String>,
    /// A body that is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl RejectionView {
    fn of(row: ListedRejection) -> RejectionView {
        RejectionView {
            id: row.id,
            source_id: row.source_id,
            rejected_at: row.rejected_at,
            code: row.code,
            reason: row.reason,
            errors: StoredJson(row.errors),
            method: row.method,
            path: row.path,
            body_bytes: row.body_bytes,
        }
    }
}

impl RejectionDetail {
    fn of(row: RejectionRow) -> RejectionDetail {
        let RejectionRow { query, headers, body, .. } = row;
        let text = body.map(String::from_utf8).transpose();
        let (body, body_base64) = match text {
            Ok(text) => (text, None),
            Err(error) => (None, Some(BASE64_STANDARD.encode(error.as_bytes()))),
        };
        let rejection = RejectionView {
            id: row.id,
            source_id: row.source_id,
            rejected_at: row.rejected_at,
            code: row.code,
            reason: row.reason,
            errors: StoredJson(row.errors),
            method: row.method,
            path: row.path,
            body_bytes: row.body_bytes,
        };
        RejectionDetail { rejection, query, headers: StoredJson(headers), body, body_base64 }
    }
}

/// A rejection that was accepted.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Retried {
    id: RejectionId,
    /// The status that the call would have been answered with.
    status: u16,
}

/// Which rejections.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RejectionQuery {
    /// Items at most.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Of this source.
    #[param(value_type = Option<String>)]
    source_id: Option<SourceId>,
}

/// List refused calls and events, newest first
///
/// They are kept for a day (`rejections.kept_s`), the newest ones of a tenant and so many of a minute.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/rejections", tag = "rejections", params(RejectionQuery),
    responses((status = 200, body = List<RejectionView>))
)]
pub(crate) async fn list(access: Access<Read>, Query(query): Query<RejectionQuery>) -> Answer {
    let size = page::size(query.limit, &access.app.config)?;
    let rejections = &access.app.store.rejections;
    let cursor = query.cursor.as_deref();
    let page = rejections.list(&access.tenant.id, query.source_id, size, cursor).await?;
    page::stored(page, RejectionView::of)
}

/// Get a refused call with what was sent
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/rejections/{id}", tag = "rejections",
    responses((status = 200, body = RejectionDetail))
)]
pub(crate) async fn get(access: Access<Read>, Id(id): Id<RejectionId>) -> Answer {
    answer::ok(&RejectionDetail::of(find(&access.app, &access.tenant.id, id).await?))
}

/// Send a refused call in again
///
/// Through the source's settings of today, but for `verify`: whoever asks for it vouches for the sender. What it is
/// refused for now is the answer; the rejection is gone once it is accepted.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/rejections/{id}/retry", tag = "rejections",
    responses((status = 200, body = Retried))
)]
pub(crate) async fn retry(access: Access<Manage>, Id(id): Id<RejectionId>) -> Answer {
    let (app, tenant) = (&access.app, &access.tenant);
    let row = find(app, &tenant.id, id).await?;
    let body = row.body.clone().map(Bytes::from).ok_or_else(|| {
        let detail = "its body was too long to be kept (rejections.body_bytes_max)";
        Problem::new(Code::Conflict, detail)
    })?;
    // Whoever deletes it sends it in: of two at once only one does.
    let rejections = &app.store.rejections;
    if !rejections.delete(tenant.id.clone(), id).await? {
        return Err(Problem::not_found("rejection"));
    }
    let taken = send_in(app, tenant, &row, body).await;
    if !matches!(&taken, Ok(Taken { is_handshake: false, left_out: None, .. })) {
        rejections.insert(vec![row], app.config.rejections.per_tenant_max).await?;
    }
    let taken = taken?;
    match taken.left_out {
        Some(problem) => Err(problem),
        None => answer::ok(&Retried { id, status: taken.answer.status().as_u16() }),
    }
}

async fn send_in(
    app: &App,
    tenant: &Arc<Tenant>,
    row: &RejectionRow,
    body: Bytes,
) -> Result<Taken, Problem> {
    let headers = headers_of(row);
    let Some(source_id) = row.source_id else {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let posted = PostedBody::new(&headers.collect::<Vec<_>>(), body);
        let answer = take_posted(app, tenant, posted, Hops::default(), |_| Ok(None)).await?;
        return Ok(Taken { answer, is_handshake: false, left_out: None });
    };
    let source = app.registry.source(source_id).filter(|source| source.tenant == tenant.id);
    let source = source.ok_or_else(|| Problem::not_found("source"))?;
    if !source.spec.enabled {
        return Err(Problem::new(Code::Conflict, "the source is disabled; enable it first"));
    }
    let call = Call {
        method: row.method.clone(),
        path: row.path.clone(),
        query: row.query.clone(),
        url: format!("{}{}", app.config.server.base_url(), row.path),
        headers,
        body,
    };
    let caller = Caller { by_trusted_proxy: false, is_vouched_for: true };
    take_in(app, tenant, &source, &Arc::new(call), caller, Hops::default()).await
}

/// Delete a rejection
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/rejections/{id}", tag = "rejections",
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn delete(access: Access<Manage>, Id(id): Id<RejectionId>) -> Answer {
    let deleted = access.app.store.rejections.delete(access.tenant.id.clone(), id).await?;
    if deleted { answer::no_content() } else { Err(Problem::not_found("rejection")) }
}

async fn find(app: &App, tenant: &TenantId, id: RejectionId) -> Result<RejectionRow, Problem> {
    app.store.rejections.get(tenant, id).await.map_err(|error| match error {
        StoreError::NotFound => Problem::not_found("rejection"),
        error => error.into(),
    })
}

fn headers_of(row: &RejectionRow) -> Vec<(String, String)> {
    let headers: BTreeMap<String, String> = serde_json::from_str(&row.headers).unwrap_or_default();
    headers.into_iter().collect()
}
