//! Named secrets: written, listed by name, never shown.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Access, Manage, Read};
use crate::http::edge::body::Body;
use crate::http::edge::page::{List, Paging, Selected};
use crate::http::edge::path::{Id, Query};
use crate::model::{Millis, Secret, SecretName};

/// A secret's value.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretValue {
    value: String,
}

/// A secret without its value.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct SecretView {
    name: SecretName,
    updated_at: Millis,
    /// Who names it, in words; of many, the first 100.
    used_by: Vec<String>,
}

impl SecretView {
    fn of(name: SecretName, updated_at: Millis, uses: &HashMap<String, Vec<String>>) -> SecretView {
        let used_by = uses.get(name.as_str()).cloned().unwrap_or_default();
        SecretView { name, updated_at, used_by }
    }
}

/// Put a secret
///
/// The next attempts use it, retries included. It can't be read back.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/secrets/{name}", tag = "secrets", request_body = SecretValue,
    responses((status = 201, description = "New", body = SecretView), (status = 200, description = "Replaced", body = SecretView))
)]
pub(crate) async fn put(access: Access<Manage>, Id(name): Id<SecretName>, body: Body) -> Answer {
    let SecretValue { value } = body.json()?;
    let created =
        access.app.registry.put_secret(&access.tenant, name.clone(), Secret::new(value)).await?;
    let uses = access.app.registry.secret_uses(&access.tenant, [&name].into_iter());
    answer::put(created, &SecretView::of(name, access.app.clock.now(), &uses))
}

/// List the names of secrets, and where they are used
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/secrets", tag = "secrets", params(Paging),
    responses((status = 200, body = List<SecretView>))
)]
pub(crate) async fn list(access: Access<Read>, Query(paging): Query<Paging>) -> Answer {
    let known: Vec<_> = access.tenant.read(|state| {
        state.secrets.iter().map(|(name, stored)| (name.clone(), stored.updated_at)).collect()
    });
    let config = &access.app.config;
    let page = Selected::of(known.into_iter(), |(name, _)| name.clone(), &paging, config)?;
    let names = page.items().map(|(name, _)| name);
    let uses = access.app.registry.secret_uses(&access.tenant, names);
    page.answer(|(name, updated_at)| SecretView::of(name, updated_at, &uses))
}

/// Delete a secret
///
/// 409 while something uses it.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/secrets/{name}", tag = "secrets",
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn delete(access: Access<Manage>, Id(name): Id<SecretName>) -> Answer {
    access.app.registry.delete_secret(&access.tenant, &name).await?;
    answer::no_content()
}
