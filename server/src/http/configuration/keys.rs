//! API keys of the operator and of tenants.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Access, Manage, Operator, Read};
use crate::http::edge::body::Body;
use crate::http::edge::page::{List, Paging, Selected};
use crate::http::edge::path::{Id, Query};
use crate::model::{ApiKey, Invalid, KeyId, Millis, Scope, TenantId};
use crate::registry::ChangeError;

/// A key to be made.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    /// For people.
    name: String,
    /// Left out: a key of the operator, for all tenants.
    #[schema(value_type = Option<String>)]
    tenant: Option<TenantId>,
    /// What it may do; `manage` includes the others.
    scopes: Vec<Scope>,
}

/// A key of the tenant to be made.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantKeyRequest {
    /// For people.
    name: String,
    /// What it may do; `manage` includes the others.
    scopes: Vec<Scope>,
}

/// A key without its text.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct KeyView {
    #[schema(value_type = String, format = Uuid)]
    id: KeyId,
    name: String,
    /// Null: the operator's.
    tenant: Option<TenantId>,
    /// Empty for an operator's key that may everything.
    scopes: Vec<Scope>,
    created_at: Millis,
    /// Shown once, by the call that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl KeyView {
    fn of(key: &ApiKey) -> KeyView {
        KeyView {
            id: key.id,
            name: key.name.clone(),
            tenant: key.tenant.clone(),
            scopes: key.scopes.clone(),
            created_at: key.created_at,
            key: None,
        }
    }
}

async fn make(app: &App, name: String, tenant: Option<TenantId>, scopes: Vec<Scope>) -> Answer {
    if name.is_empty() || name.len() > 128 {
        return Err(Invalid::at("/name", "has 1 to 128 bytes").into());
    }
    if scopes.is_empty() {
        return Err(Invalid::at("/scopes", "name at least one of publish, read, manage").into());
    }
    let made = app.registry.create_key(name, tenant, scopes).await;
    let (key, text) = made.map_err(|error| match error {
        ChangeError::NotFound("tenant") => {
            Invalid::at("/tenant", "there is no such tenant; put it first").into()
        }
        error => crate::http::edge::error::Problem::from(error),
    })?;
    answer::created(&KeyView { key: Some(text.reveal().to_owned()), ..KeyView::of(&key) })
}

/// The keys of a tenant.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct KeyQuery {
    /// Items at most.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Keys of this tenant; left out: the operator's own.
    #[param(value_type = Option<String>)]
    tenant: Option<TenantId>,
}

fn page(app: &App, tenant: Option<&TenantId>, paging: &Paging) -> Answer {
    let keys = app.registry.keys(tenant).into_iter();
    let page = Selected::of(keys, |key| key.id, paging, &app.config)?;
    page.answer(|key: Arc<ApiKey>| KeyView::of(&key))
}

/// Make a key
///
/// Its text is in the answer, this once; only a digest is kept.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = KeyRequest, responses((status = 201, body = KeyView)))]
pub(crate) async fn create(operator: Operator<Manage>, body: Body) -> Answer {
    let KeyRequest { name, tenant, scopes } = body.json()?;
    make(&operator.app, name, tenant, scopes).await
}

/// List keys, oldest first
#[utoipa::path(get, path = "/v1/keys", tag = "keys", params(KeyQuery), responses((status = 200, body = List<KeyView>)))]
pub(crate) async fn list(operator: Operator<Read>, Query(query): Query<KeyQuery>) -> Answer {
    let paging = Paging { limit: query.limit, cursor: query.cursor };
    page(&operator.app, query.tenant.as_ref(), &paging)
}

/// Delete a key of the operator or of any tenant
///
/// It is refused from then on.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", responses((status = 204, description = "Deleted")))]
pub(crate) async fn delete(operator: Operator<Manage>, Id(id): Id<KeyId>) -> Answer {
    let registry = &operator.app.registry;
    let tenants = registry.tenants();
    let owner = tenants
        .iter()
        .find(|tenant| registry.keys(Some(&tenant.id)).iter().any(|key| key.id == id));
    registry.delete_key(owner.map(|tenant| &tenant.id), id).await?;
    answer::no_content()
}

/// Make a key of the tenant
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/keys", tag = "keys", request_body = TenantKeyRequest,
    responses((status = 201, body = KeyView))
)]
pub(crate) async fn tenant_create(access: Access<Manage>, body: Body) -> Answer {
    let TenantKeyRequest { name, scopes } = body.json()?;
    make(&access.app, name, Some(access.tenant.id.clone()), scopes).await
}

/// List the keys of the tenant, oldest first
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/keys", tag = "keys", params(Paging),
    responses((status = 200, body = List<KeyView>))
)]
pub(crate) async fn tenant_list(access: Access<Manage>, Query(paging): Query<Paging>) -> Answer {
    page(&access.app, Some(&access.tenant.id), &paging)
}

/// Delete a key of the tenant
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/keys/{id}", tag = "keys",
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn tenant_delete(access: Access<Manage>, Id(id): Id<KeyId>) -> Answer {
    access.app.registry.delete_key(Some(&access.tenant.id), id).await?;
    answer::no_content()
}
