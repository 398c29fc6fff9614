//! Runs plugins on an example of the catalog: the time of a call, and complaints about a config.

use antar_json::Document;

use super::Registry;
use crate::model::{Event, FieldError, Invalid};
use crate::pipeline::attempt::transform::secrets_of;
use crate::pipeline::compiled::tenant::Tenant;
use crate::plugin::{Call, Place, Plugin};

impl Registry {
    /// Microseconds of a call on an example of the tenant's catalog, or on no data.
    pub(super) async fn cost_us(&self, tenant: &Tenant, plugin: &Plugin) -> Option<u64> {
        let example = example(tenant, |_| true);
        self.host.cost_us(plugin, call(tenant, example.as_ref(), "{}", Place::Webhook)).await
    }

    /// Calls plugins to check their configs, on an example of a type that `accepts` matches. `uses` are names
    /// and configs; pointers begin with `pointer` and the number of the use.
    pub(super) async fn ask_plugins<'a>(
        &self,
        tenant: &Tenant,
        accepts: impl Fn(&str) -> bool,
        uses: impl Iterator<Item = (&'a str, &'a Document)>,
        (pointer, place): (&str, Place),
    ) -> Result<(), Invalid> {
        let example = example(tenant, accepts);
        let mut errors = Vec::new();
        for (number, (name, config)) in uses.enumerate() {
            // With a secret in the config, a complaint would be about its placeholder.
            let Some(plugin) = tenant.plugin(name) else { continue };
            if !secrets_of(config.root()).is_empty() {
                continue;
            }
            let call = call(tenant, example.as_ref(), config.text(), place);
            if let Some(error) = self.host.config_complaint(&plugin, call).await {
                let pointer = format!("{pointer}/{number}/config{}", error.pointer);
                errors.push(FieldError::new(pointer, error.detail));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Invalid { code: "invalid", errors }) }
    }
}

fn example(tenant: &Tenant, accepts: impl Fn(&str) -> bool) -> Option<Event> {
    let known = tenant.read(|state| {
        let all = state.event_types.values().chain(state.profile.types.values());
        let mut with = all.filter(|known| known.spec.example.is_some());
        with.find(|known| accepts(known.spec.name.as_str())).cloned()
    })?;
    Some(known.example_event(&tenant.id))
}

fn call<'a>(
    tenant: &'a Tenant,
    example: Option<&'a Event>,
    config: &'a str,
    place: Place,
) -> Call<'a> {
    let (event_type, data) = match example {
        Some(event) => (event.event_type.as_str(), event.data().raw()),
        None => ("example", "{}"),
    };
    Call {
        id: "example",
        event_type,
        tenant: tenant.id.as_str(),
        timestamp: "2026-03-10T12:00:00.000Z",
        attributes: example.map_or(&[], |event| event.attributes.as_slice()),
        data,
        config,
        place,
    }
}
