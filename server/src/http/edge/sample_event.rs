//! Sample events for previews, tests and checks of settings; what a request leaves out comes from
//! the catalog.

use std::collections::BTreeMap;
use std::sync::Arc;

use antar_json::{Builder, Document, Kind, Value};
use serde::Deserialize;

use super::error::Problem;
use crate::app::App;
use crate::config::IntakeConfig;
use crate::model::{Event, EventType, Hops, Invalid, JsonText};
use crate::pipeline::accept::intake::{self, Draft};
use crate::pipeline::compiled::profile::{CatalogType, Profile};
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;

/// What is given of an event that is not stored.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sample {
    /// Left out: the first type that the webhook names, or that its catalog has for it.
    #[schema(value_type = Option<String>)]
    pub(crate) event_type: Option<EventType>,
    /// Left out: the type's example, else `{}`.
    #[schema(value_type = Option<Object>)]
    pub(crate) data: Option<Document>,
    /// Left out: those of the type's example.
    pub(crate) attributes: Option<BTreeMap<String, String>>,
}

impl Sample {
    /// The sample event for a webhook. A missing type is replaced by one that the webhook accepts,
    /// missing data and attributes by those of the type's example.
    pub(crate) fn event(
        self,
        app: &App,
        tenant: &Tenant,
        webhook: &Webhook,
    ) -> Result<Event, Problem> {
        if self.data.as_ref().is_some_and(|data| data.root().kind() != Kind::Object) {
            return Err(Invalid::at("/data", "is a JSON object").into());
        }
        let event_type = match self.event_type {
            Some(event_type) => event_type,
            None => type_for(tenant, webhook)?,
        };
        let known = catalog_type(app, tenant, Some(&webhook.profile), &event_type);
        let example =
            known.as_ref().and_then(|known| known.spec.example.as_ref().map(JsonText::document));
        let of_example = known.map(|known| known.spec.example_attributes.clone());
        let draft = Draft {
            id: None,
            event_type,
            timestamp: None,
            attributes: self.attributes.or(of_example).unwrap_or_default().into_iter().collect(),
            data: self.data.or(example).unwrap_or_else(Document::empty_object),
            hops: Hops::default(),
        };
        Ok(draft.event(tenant.id.clone(), app.clock.now()))
    }
}

/// An event as it would be posted. Without `data`, the example of its type is used, or `{}` if it
/// has none.
pub(crate) fn posted(
    app: &App,
    tenant: &Tenant,
    profile: Option<&Profile>,
    event: &Document,
) -> Result<Event, Problem> {
    let root = event.root();
    let event_type = root.get("type").and_then(|value| value.as_str()?.parse().ok());
    let known = event_type
        .and_then(|event_type: EventType| catalog_type(app, tenant, profile, &event_type));
    let left_out = root.kind() == Kind::Object && root.get("data").is_none();
    let filled = left_out.then(|| filled_up(root, known.as_deref()));
    let limits: &IntakeConfig = &app.config.intake;
    let draft = intake::draft(filled.as_ref().unwrap_or(event).root(), limits)?;
    Ok(draft.event(tenant.id.clone(), app.clock.now()))
}

/// A posted event with the example's data, or `{}`.
fn filled_up(event: Value<'_>, known: Option<&CatalogType>) -> Document {
    let mut out = Builder::new();
    out.object();
    for (key, value) in event.members() {
        out.copy_key(key).copy(value);
    }
    if let Some(known) = known.filter(|_| event.get("attributes").is_none()) {
        out.key("attributes").object();
        for (name, value) in &known.spec.example_attributes {
            out.key(name).string(value);
        }
        out.end();
    }
    let example = known.and_then(|known| known.spec.example.as_ref().map(JsonText::document));
    out.key("data").copy(example.unwrap_or_else(Document::empty_object).root()).end();
    out.finish()
}

/// The catalog entry of a type: the tenant's own, else the profile's, else the operator's.
pub(crate) fn catalog_type(
    app: &App,
    tenant: &Tenant,
    profile: Option<&Profile>,
    event_type: &EventType,
) -> Option<Arc<CatalogType>> {
    let own = tenant.read(|state| state.event_types.get(event_type).cloned());
    let of_profile = || match profile {
        Some(profile) => profile.types.get(event_type).cloned(),
        None => tenant.read(|state| state.profile.types.get(event_type).cloned()),
    };
    let of_operator =
        || app.registry.event_types().into_iter().find(|known| known.spec.name == *event_type);
    own.or_else(of_profile).or_else(of_operator)
}

/// A type that a webhook accepts: the first that it names, or the first of its catalog that matches
/// its filters.
fn type_for(tenant: &Tenant, webhook: &Webhook) -> Result<EventType, Problem> {
    let filters = &webhook.spec.event_types;
    if let Some(named) = filters.iter().find_map(|filter| filter.as_str().parse().ok()) {
        return Ok(named);
    }
    let accepted = |known: &EventType| filters.iter().any(|filter| filter.accepts(known.as_str()));
    let of_profile = webhook.profile.spec.event_types.iter().map(|known| known.name.clone());
    let own: Vec<EventType> = tenant.read(|state| state.event_types.keys().cloned().collect());
    match of_profile.chain(own).find(accepted) {
        Some(found) => Ok(found),
        None => made_up(filters.first().map_or("*", |filter| filter.as_str())),
    }
}

/// A type for a filter that matches nothing in the catalog: `a.test` for `a.*`.
fn made_up(filter: &str) -> Result<EventType, Problem> {
    let prefix = filter.strip_suffix('*').filter(|prefix| !prefix.is_empty());
    let text = format!("{}test", prefix.unwrap_or("webhook."));
    // A prefix close to the maximum length of a type leaves no room for more.
    text.parse()
        .or_else(|_: String| "webhook.test".parse())
        .map_err(|e: String| Problem::internal(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_made_up_from_filters() {
        assert_eq!(made_up("conversation.*").unwrap().as_str(), "conversation.test");
        assert_eq!(made_up("*").unwrap().as_str(), "webhook.test");
        assert_eq!(made_up(&format!("{}.*", "a".repeat(127))).unwrap().as_str(), "webhook.test");
    }
}
