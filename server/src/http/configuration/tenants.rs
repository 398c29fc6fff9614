//! Tenants: list, create, replace and erase.

use serde::Serialize;

use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Access, Caller, Manage, Operator, Read, reaches};
use crate::http::edge::body::{Body, read};
use crate::http::edge::error::Problem;
use crate::http::edge::page::{List, Paging, Selected};
use crate::http::edge::patch;
use crate::http::edge::path::{Id, Query};
use crate::model::{Millis, TenantId, TenantSpec};
use crate::pipeline::compiled::tenant::Tenant;
use crate::registry::By;

/// A tenant as it is shown.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TenantView {
    id: TenantId,
    #[serde(flatten)]
    spec: TenantSpec,
    /// How many it has.
    webhooks: usize,
    created_at: Millis,
}

impl TenantView {
    fn of(tenant: &Tenant) -> TenantView {
        tenant.read(|state| {
            let mut spec = state.spec.clone();
            spec.profile = Some(state.profile.spec.name.clone());
            TenantView {
                id: tenant.id.clone(),
                spec,
                webhooks: state.webhooks().len(),
                created_at: state.created_at,
            }
        })
    }
}

/// List tenants by id
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", params(Paging), responses((status = 200, body = List<TenantView>)))]
pub(crate) async fn list(operator: Operator<Read>, Query(paging): Query<Paging>) -> Answer {
    let tenants = operator.app.registry.tenants().into_iter();
    let page = Selected::of(tenants, |tenant| tenant.id.clone(), &paging, &operator.app.config)?;
    page.answer(|tenant| TenantView::of(&tenant))
}

/// Get a tenant
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}", tag = "tenants",
    responses((status = 200, body = TenantView))
)]
pub(crate) async fn get(access: Access<Read>) -> Answer {
    answer::ok(&TenantView::of(&access.tenant))
}

/// Create a tenant, or replace its settings
///
/// Safe from many callers at once. A tenant's own key may change its settings, but for what is the operator's:
/// `weight` and `retention_max` stay, and `retention` may get shorter than the operator's, not longer.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}", tag = "tenants", request_body = TenantSpec,
    responses((status = 201, description = "New", body = TenantView), (status = 200, description = "Replaced", body = TenantView))
)]
pub(crate) async fn put(caller: Caller<Manage>, Id(id): Id<TenantId>, body: Body) -> Answer {
    if !reaches(&caller.key, &id) {
        return Err(Problem::not_found("tenant"));
    }
    let document = body.document()?;
    let spec: TenantSpec =
        read(&patch::without(document.root(), &["id", "webhooks", "created_at"]))?;
    let (tenant, created) = caller.app.registry.put_tenant(id, spec, By::key(&caller.key)).await?;
    answer::put(created, &TenantView::of(&tenant))
}

/// Erase a tenant with everything of it
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}", tag = "tenants",
    responses((status = 204, description = "Erased"))
)]
pub(crate) async fn delete(operator: Operator<Manage>, Id(id): Id<TenantId>) -> Answer {
    operator.app.registry.delete_tenant(&id).await?;
    answer::no_content()
}
