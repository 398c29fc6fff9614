//! Event types of tenants and of the operator, and the template variables that their payloads
//! offer.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Access, Caller, Manage, Operator, Read};
use crate::http::edge::body::{Body, read};
use crate::http::edge::error::Problem;
use crate::http::edge::page::{List, Paging, Selected};
use crate::http::edge::path::{Id, Query};
use crate::http::edge::{patch, sample_event};
use crate::model::{ApiKey, EventType, EventTypeSpec, Invalid};
use crate::pipeline::compiled::profile::CatalogType;
use crate::pipeline::compiled::variables::Variable;
use crate::registry::By;

/// Whose catalog a type stands in.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Owner {
    Tenant,
    Profile,
    Operator,
}

/// A type of event.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct EventTypeView {
    #[serde(flatten)]
    spec: EventTypeSpec,
    owner: Owner,
}

impl EventTypeView {
    fn of(known: &CatalogType, owner: Owner) -> EventTypeView {
        EventTypeView { spec: known.spec.clone(), owner }
    }

    /// As the holder of a key sees it: how long the operator keeps its own types is not for tenants.
    fn shown(known: &CatalogType, owner: Owner, key: &ApiKey) -> EventTypeView {
        let mut view = EventTypeView::of(known, owner);
        if key.tenant.is_some() && owner != Owner::Tenant {
            view.spec.retention = None;
        }
        view
    }
}

/// All event types that the tenant can name, by name. A tenant's own type overrides its profile's,
/// which overrides the operator's.
fn catalog(access: &Access<Read>) -> BTreeMap<EventType, (Arc<CatalogType>, Owner)> {
    let mut found = BTreeMap::new();
    for known in access.app.registry.event_types() {
        found.insert(known.spec.name.clone(), (known, Owner::Operator));
    }
    access.tenant.read(|state| {
        for known in state.profile.types.values() {
            found.insert(known.spec.name.clone(), (known.clone(), Owner::Profile));
        }
        for known in state.event_types.values() {
            found.insert(known.spec.name.clone(), (known.clone(), Owner::Tenant));
        }
    });
    found
}

/// Reads a posted event type. With `name`, which comes from the path, the body may leave its name
/// out but must not differ.
fn posted(body: &Body, name: Option<&EventType>) -> Result<EventTypeSpec, Problem> {
    let document = body.document()?;
    let document = match name {
        Some(name) => patch::with_default(document.root(), "name", name.as_str()),
        None => document,
    };
    // The view shows `owner` beside the type's own fields.
    let spec: EventTypeSpec = read(&patch::without(document.root(), &["owner"]))?;
    match name {
        Some(name) if spec.name != *name => {
            Err(Invalid::at("/name", "is not the one in the path").into())
        }
        _ => Ok(spec),
    }
}

/// A tenant's own key may not have events kept longer than the operator lets the tenant.
fn check_retention(access: &Access<Manage>, spec: &EventTypeSpec) -> Result<(), Problem> {
    if By::key(&access.key) == By::Tenant {
        access.app.registry.check_type_retention(&access.tenant, spec)?;
    }
    Ok(())
}

/// List the event types that a tenant can name: its own, its profile's and the operator's
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/event-types", tag = "event types", params(Paging),
    responses((status = 200, body = List<EventTypeView>))
)]
pub(crate) async fn list(access: Access<Read>, Query(paging): Query<Paging>) -> Answer {
    let known = catalog(&access).into_values();
    let name = |(known, _): &(Arc<CatalogType>, Owner)| known.spec.name.clone();
    let page = Selected::of(known, name, &paging, &access.app.config)?;
    page.answer(|(known, owner)| EventTypeView::shown(&known, owner, &access.key))
}

/// Create an event type of a tenant
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/event-types", tag = "event types", request_body = EventTypeSpec,
    responses((status = 201, body = EventTypeView))
)]
pub(crate) async fn create(access: Access<Manage>, body: Body) -> Answer {
    let spec = posted(&body, None)?;
    if access.tenant.read(|state| state.event_types.contains_key(&spec.name)) {
        return Err(crate::registry::ChangeError::NameTaken("event type").into());
    }
    check_retention(&access, &spec)?;
    let (known, _) = access.app.registry.put_event_type(Some(&access.tenant), spec).await?;
    answer::created(&EventTypeView::of(&known, Owner::Tenant))
}

/// Get an event type that a tenant can name
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/event-types/{type}", tag = "event types",
    responses((status = 200, body = EventTypeView))
)]
pub(crate) async fn get(access: Access<Read>, Id(name): Id<EventType>) -> Answer {
    let found = catalog(&access).remove(&name);
    let (known, owner) = found.ok_or_else(|| Problem::not_found("event type"))?;
    answer::ok(&EventTypeView::shown(&known, owner, &access.key))
}

/// Create or replace an event type of a tenant
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/event-types/{type}", tag = "event types", request_body = EventTypeSpec,
    responses((status = 201, description = "New", body = EventTypeView), (status = 200, description = "Replaced", body = EventTypeView))
)]
pub(crate) async fn put(access: Access<Manage>, Id(name): Id<EventType>, body: Body) -> Answer {
    let spec = posted(&body, Some(&name))?;
    check_retention(&access, &spec)?;
    let (known, created) = access.app.registry.put_event_type(Some(&access.tenant), spec).await?;
    answer::put(created, &EventTypeView::of(&known, Owner::Tenant))
}

/// Delete an event type of a tenant
///
/// Types of the profile and of the operator stay.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/event-types/{type}", tag = "event types",
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn delete(access: Access<Manage>, Id(name): Id<EventType>) -> Answer {
    access.app.registry.delete_event_type(Some(&access.tenant), &name).await?;
    answer::no_content()
}

/// Through which profile.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProfileQuery {
    /// The profile whose default payload is looked at; left out: the tenant's.
    profile: Option<String>,
}

/// List what templates can name in events of a type
///
/// Paths in the type's default payload, with what its schema and example say of them.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/event-types/{type}/variables", tag = "event types", params(ProfileQuery),
    responses((status = 200, body = List<Variable>))
)]
pub(crate) async fn variable_list(
    access: Access<Read>,
    Id(name): Id<EventType>,
    Query(query): Query<ProfileQuery>,
) -> Answer {
    let profile = match query.profile {
        None => Some(access.tenant.read(|state| state.profile.clone())),
        Some(name) => access.app.registry.profile(&name),
    };
    let profile = profile.ok_or_else(|| Problem::not_found("profile"))?;
    let known = sample_event::catalog_type(&access.app, &access.tenant, Some(&profile), &name);
    let known = known.ok_or_else(|| Problem::not_found("event type"))?;
    let variables = access.app.registry.variables(&access.tenant, profile, known).await?;
    answer::ok(&List::whole(variables))
}

/// List the operator's event types
#[utoipa::path(
    get, path = "/v1/event-types", tag = "event types", params(Paging),
    responses((status = 200, body = List<EventTypeView>))
)]
pub(crate) async fn operator_list(caller: Caller<Read>, Query(paging): Query<Paging>) -> Answer {
    let known = caller.app.registry.event_types().into_iter();
    let page = Selected::of(known, |known| known.spec.name.clone(), &paging, &caller.app.config)?;
    page.answer(|known| EventTypeView::shown(&known, Owner::Operator, &caller.key))
}

/// Get an event type of the operator
#[utoipa::path(
    get, path = "/v1/event-types/{type}", tag = "event types",
    responses((status = 200, body = EventTypeView))
)]
pub(crate) async fn operator_get(caller: Caller<Read>, Id(name): Id<EventType>) -> Answer {
    let found = caller.app.registry.event_types().into_iter().find(|known| known.spec.name == name);
    let found = found.ok_or_else(|| Problem::not_found("event type"))?;
    answer::ok(&EventTypeView::shown(&found, Owner::Operator, &caller.key))
}

/// Create or replace an event type for all tenants
#[utoipa::path(
    put, path = "/v1/event-types/{type}", tag = "event types", request_body = EventTypeSpec,
    responses((status = 201, description = "New", body = EventTypeView), (status = 200, description = "Replaced", body = EventTypeView))
)]
pub(crate) async fn operator_put(
    operator: Operator<Manage>,
    Id(name): Id<EventType>,
    body: Body,
) -> Answer {
    let spec = posted(&body, Some(&name))?;
    let (known, created) = operator.app.registry.put_event_type(None, spec).await?;
    answer::put(created, &EventTypeView::of(&known, Owner::Operator))
}

/// Delete an event type of the operator
#[utoipa::path(
    delete, path = "/v1/event-types/{type}", tag = "event types",
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn operator_delete(operator: Operator<Manage>, Id(name): Id<EventType>) -> Answer {
    operator.app.registry.delete_event_type(None, &name).await?;
    answer::no_content()
}
