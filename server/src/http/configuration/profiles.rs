//! Profiles: conventions that all tenants can use.

use std::sync::Arc;

use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Caller, Manage, Operator, Read};
use crate::http::edge::body::{Body, read};
use crate::http::edge::error::Problem;
use crate::http::edge::page::{List, Paging, Selected};
use crate::http::edge::patch;
use crate::http::edge::path::{Id, Query};
use crate::model::{ApiKey, Invalid, ProfileSpec};
use crate::pipeline::compiled::profile::Profile;

/// List profiles by name, the built-in one included
#[utoipa::path(get, path = "/v1/profiles", tag = "profiles", params(Paging), responses((status = 200, body = List<ProfileSpec>)))]
pub(crate) async fn list(caller: Caller<Read>, Query(paging): Query<Paging>) -> Answer {
    let profiles = caller.app.registry.profiles().into_iter();
    let name = |profile: &Arc<Profile>| profile.spec.name.clone();
    let page = Selected::of(profiles, name, &paging, &caller.app.config)?;
    page.answer(|profile| shown(&caller.key, &profile.spec))
}

/// Get a profile
#[utoipa::path(get, path = "/v1/profiles/{name}", tag = "profiles", responses((status = 200, body = ProfileSpec)))]
pub(crate) async fn get(caller: Caller<Read>, Id(name): Id<String>) -> Answer {
    let profile =
        caller.app.registry.profile(&name).ok_or_else(|| Problem::not_found("profile"))?;
    answer::ok(&shown(&caller.key, &profile.spec))
}

/// A profile as the holder of a key sees it: how long events are kept is between the operator and each tenant.
fn shown(key: &ApiKey, spec: &ProfileSpec) -> ProfileSpec {
    let mut spec = spec.clone();
    if key.tenant.is_some() {
        spec.event_types.iter_mut().for_each(|known| known.retention = None);
    }
    spec
}

/// Create or replace a profile
///
/// Webhooks that use it follow at once. If one of them would not work any more, nothing changes.
#[utoipa::path(
    put, path = "/v1/profiles/{name}", tag = "profiles", request_body = ProfileSpec,
    responses((status = 201, description = "New", body = ProfileSpec), (status = 200, description = "Replaced", body = ProfileSpec))
)]
pub(crate) async fn put(operator: Operator<Manage>, Id(name): Id<String>, body: Body) -> Answer {
    let document = body.document()?;
    let spec: ProfileSpec = read(&patch::with_default(document.root(), "name", &name))?;
    if spec.name != name {
        return Err(Invalid::at("/name", "is not the one in the path").into());
    }
    let (profile, created) = operator.app.registry.put_profile(spec).await?;
    answer::put(created, &profile.spec)
}

/// Delete a profile
///
/// 409 while something uses it.
#[utoipa::path(
    delete, path = "/v1/profiles/{name}", tag = "profiles",
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn delete(operator: Operator<Manage>, Id(name): Id<String>) -> Answer {
    operator.app.registry.delete_profile(&name).await?;
    answer::no_content()
}
