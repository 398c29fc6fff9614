//! Facets: the filter dimensions of the profiles that a tenant uses, and their known values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Access, Manage, Needs, Read};
use crate::http::edge::body::Body;
use crate::http::edge::error::Problem;
use crate::http::edge::page::{List, LongPaging, Paging, Selected};
use crate::http::edge::path::{Id, Query};
use crate::model::{FacetSpec, Invalid};

/// A facet of a profile.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct FacetView {
    /// The profile that has it.
    profile: String,
    #[serde(flatten)]
    spec: FacetSpec,
    /// How many values are known.
    values: usize,
}

/// A known value of a facet.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FacetValue {
    value: String,
    /// The text shown to people; null: the value.
    #[serde(default)]
    label: Option<String>,
}

/// All known values of a facet.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FacetValues {
    values: Vec<FacetValue>,
}

/// Facets of the tenant's profile and of its webhooks' profiles.
fn facets<N: Needs>(access: &Access<N>) -> Vec<FacetView> {
    access.tenant.read(|state| {
        let profiles = state.webhooks().map(|webhook| &webhook.profile).chain([&state.profile]);
        let by_name: BTreeMap<_, _> =
            profiles.map(|profile| (&profile.spec.name, profile)).collect();
        let of = |profile: &str, spec: &FacetSpec| FacetView {
            profile: profile.to_owned(),
            spec: spec.clone(),
            values: state.facet_values.get(&spec.name).map_or(0, BTreeMap::len),
        };
        let all = by_name
            .into_iter()
            .flat_map(|(name, profile)| profile.spec.facets.iter().map(move |spec| (name, spec)));
        all.map(|(name, spec)| of(name, spec)).collect()
    })
}

fn known<N: Needs>(access: &Access<N>, facet: &str) -> Result<(), Problem> {
    let found = facets(access).iter().any(|view| view.spec.name == facet);
    if found {
        Ok(())
    } else {
        Err(Problem::not_found("facet in the profiles that this tenant uses"))
    }
}

/// List the facets of the profiles that the tenant uses
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/facets", tag = "facets", params(LongPaging),
    responses((status = 200, body = List<FacetView>))
)]
pub(crate) async fn list(access: Access<Read>, Query(paging): Query<LongPaging>) -> Answer {
    let (config, facets) = (&access.app.config, facets(&access).into_iter());
    let name = |view: &FacetView| format!("{} {}", view.profile, view.spec.name);
    Selected::of(facets, name, &paging.or_most(config), config)?.answer(|view| view)
}

/// List the known values of a facet
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/facets/{facet}/values", tag = "facets", params(Paging),
    responses((status = 200, body = List<FacetValue>))
)]
pub(crate) async fn values(
    access: Access<Read>,
    Id(facet): Id<String>,
    Query(paging): Query<Paging>,
) -> Answer {
    known(&access, &facet)?;
    let values: Vec<String> = access.tenant.read(|state| {
        let known = state.facet_values.get(&facet).into_iter();
        known.flat_map(BTreeMap::keys).cloned().collect()
    });
    let page = Selected::of(values.into_iter(), String::clone, &paging, &access.app.config)?;
    let view = |value: String| {
        let label =
            access.tenant.read(|state| state.facet_values.get(&facet)?.get(&value).cloned());
        label.map(|label| FacetValue { value, label })
    };
    Ok(page.write(view)?.answer())
}

/// Tell all values of a facet
///
/// They replace those known before.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/facets/{facet}/values", tag = "facets", request_body = FacetValues,
    responses((status = 200, body = List<FacetValue>))
)]
pub(crate) async fn put_values(
    access: Access<Manage>,
    Id(facet): Id<String>,
    body: Body,
) -> Answer {
    const VALUES_MAX: usize = 10_000;
    known(&access, &facet)?;
    let FacetValues { values } = body.json()?;
    if values.len() > VALUES_MAX {
        return Err(Invalid::at("/values", format!("has {VALUES_MAX} entries at most")).into());
    }
    let told: BTreeMap<_, _> = values.into_iter().map(|known| (known.value, known.label)).collect();
    access.app.registry.put_facet_values(&access.tenant, &facet, told.clone()).await?;
    let values = told.into_iter().map(|(value, label)| FacetValue { value, label });
    answer::ok(&List::whole(values.collect()))
}
