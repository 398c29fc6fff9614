//! Learns the known values of facets from events.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::model::Event;
use crate::pipeline::compiled::facet_values::{scalars_at, values};
use crate::pipeline::compiled::tenant::TenantState;
use crate::pipeline::compiled::webhook::Webhook;

/// A new facet value, with the label shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    pub facet: String,
    pub value: String,
    pub label: Option<String>,
}

/// Returns the values that are new to the tenant, for facets of its profile and of the matching
/// webhooks. Facets with `values_max` known values are skipped, and so are values too long to choose from.
pub(crate) fn learn(
    state: &TenantState,
    event: &Event,
    matching: &[Arc<Webhook>],
    values_max: usize,
) -> Vec<Learned> {
    const VALUE_BYTES_MAX: usize = 256;
    let profiles = matching.iter().map(|webhook| &webhook.profile).chain([&state.profile]);
    let mut learned: Vec<Learned> = Vec::new();
    let mut seen: HashMap<&str, HashSet<String>> = HashMap::new();
    for spec in profiles.flat_map(|profile| &profile.spec.facets) {
        let types = &spec.event_types;
        let event_type = event.event_type.as_str();
        if !types.is_empty() && !types.iter().any(|filter| filter.accepts(event_type)) {
            continue;
        }
        let known = state.facet_values.get(&spec.name);
        let room = values_max.saturating_sub(known.map_or(0, BTreeMap::len));
        let seen = seen.entry(spec.name.as_str()).or_default();
        if seen.len() >= room {
            continue;
        }
        let document = event.document.root();
        let labels = spec.label.as_ref().map(|path| scalars_at(path, document)).unwrap_or_default();
        for (number, value) in values(spec, document).into_iter().enumerate() {
            let new = !value.is_empty()
                && value.len() <= VALUE_BYTES_MAX
                && !known.is_some_and(|known| known.contains_key(&value));
            if new && seen.len() < room && seen.insert(value.clone()) {
                let label = labels.get(number).cloned();
                learned.push(Learned { facet: spec.name.clone(), value, label });
            }
        }
    }
    learned
}
