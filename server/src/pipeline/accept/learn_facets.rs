//! Learns the known values of facets from events.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use antar_json::{OutOfSteps, Steps};

use crate::model::Event;
use crate::pipeline::compiled::facet_values::scalars_at;
use crate::pipeline::compiled::profile::Profile;
use crate::pipeline::compiled::tenant::{Tenant, TenantState};
use crate::pipeline::compiled::webhook::Webhook;

/// A new facet value, with the label shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    pub facet: String,
    pub value: String,
    pub label: Option<String>,
}

/// Values longer than this are none to choose from.
const VALUE_BYTES_MAX: usize = 256;

/// Returns the values that are new to the tenant, for facets of its profile and of the matching
/// webhooks. Facets with `values_max` known values are skipped, and of one event so many values are looked at.
///
/// # Errors
/// [`OutOfSteps`]
pub(crate) fn learn(
    tenant: &Tenant,
    event: &Event,
    matching: &[Arc<Webhook>],
    values_max: usize,
    steps: &Steps,
) -> Result<Vec<Learned>, OutOfSteps> {
    let mut learned: Vec<Learned> = Vec::new();
    let mut seen: HashMap<String, HashSet<String>> = HashMap::new();
    for profile in profiles(tenant, matching) {
        for spec in &profile.spec.facets {
            let types = &spec.event_types;
            let event_type = event.event_type.as_str();
            if !types.is_empty() && !types.iter().any(|filter| filter.accepts(event_type)) {
                continue;
            }
            let known =
                |state: &TenantState| state.facet_values.get(&spec.name).map_or(0, BTreeMap::len);
            if tenant.read(known) >= values_max {
                continue;
            }
            let document = event.document.root();
            let found = scalars_at(&spec.path, document, steps)?;
            if found.iter().all(Option::is_none) {
                continue;
            }
            let labels = spec.label.as_ref().map(|path| scalars_at(path, document, steps));
            let labels = labels.transpose()?.unwrap_or_default();
            let seen = seen.entry(spec.name.clone()).or_default();
            tenant.read(|state| {
                let known = state.facet_values.get(&spec.name);
                let room = values_max.saturating_sub(known.map_or(0, BTreeMap::len));
                for (number, value) in found.iter().enumerate().take(values_max) {
                    let Some(value) = value else { continue };
                    let new = !value.is_empty()
                        && value.len() <= VALUE_BYTES_MAX
                        && !known.is_some_and(|known| known.contains_key(value.as_ref()));
                    if new && seen.len() < room && seen.insert(value.to_string()) {
                        let label =
                            labels.get(number).and_then(|label| Some(label.as_deref()?.to_owned()));
                        let (facet, value) = (spec.name.clone(), value.to_string());
                        learned.push(Learned { facet, value, label });
                    }
                }
            });
        }
    }
    Ok(learned)
}

/// The profiles of the webhooks and of the tenant that have facets, each once.
fn profiles(tenant: &Tenant, matching: &[Arc<Webhook>]) -> Vec<Arc<Profile>> {
    let own = tenant.read(|state| state.profile.clone());
    let mut profiles: Vec<Arc<Profile>> = Vec::new();
    let mut taken = HashSet::new();
    for profile in matching.iter().map(|webhook| &webhook.profile).chain([&own]) {
        if !profile.spec.facets.is_empty() && taken.insert(Arc::as_ptr(profile)) {
            profiles.push(profile.clone());
        }
    }
    profiles
}
