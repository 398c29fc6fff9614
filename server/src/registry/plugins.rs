//! Deletion of uploaded plugins. A version never changes.

use std::sync::Arc;

use super::{ChangeError, Registry, to_its_end};
use crate::model::PluginName;
use crate::pipeline::compiled::tenant::Tenant;

impl Registry {
    /// Deletes a version, or all of them, unless something uses it.
    pub async fn delete_plugin(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        name: &PluginName,
        version: Option<u32>,
    ) -> Result<(), ChangeError> {
        let (registry, tenant, name) = (self.clone(), tenant.clone(), name.clone());
        to_its_end(async move { registry.remove_plugin(&tenant, &name, version).await }).await
    }

    async fn remove_plugin(
        &self,
        tenant: &Arc<Tenant>,
        name: &PluginName,
        version: Option<u32>,
    ) -> Result<(), ChangeError> {
        let _change = self.change_in(tenant).await?;
        let (mut versions, uploads) = tenant.read(|state| {
            let ready = state.plugins.get(name).map(|versions| versions.keys().copied().collect());
            let others = state.uploads.get(name).map(|versions| versions.keys().copied().collect());
            (ready.unwrap_or_else(Vec::new), others.unwrap_or_else(Vec::new))
        });
        let goes = |number: u32| version.is_none_or(|version| version == number);
        // Only versions that can be called count: the others can't serve a use without a version.
        let all_go = !versions.is_empty() && versions.iter().all(|number| goes(*number));
        versions.extend(uploads);
        if !versions.iter().any(|number| goes(*number)) {
            return Err(ChangeError::NotFound("plugin"));
        }
        let named = |used: &str| match used.split_once('@') {
            Some((used, number)) => used == name.as_str() && number.parse().is_ok_and(goes),
            None => used == name.as_str() && all_go,
        };
        let user = tenant.read(|state| {
            let mut webhooks = state.webhooks();
            let webhook = webhooks
                .find(|webhook| webhook.plan.plugins.iter().any(|used| named(&used.plugin)));
            let intake = state.spec.intake_plugins.iter().any(|used| named(&used.plugin));
            let webhook = webhook.map(|webhook| format!("the webhook `{}`", webhook.spec.name));
            webhook.or_else(|| intake.then(|| "the tenant's intake".to_owned()))
        });
        if let Some(user) = user {
            return Err(ChangeError::Conflict(format!(
                "{user} uses this plugin; take it out there first"
            )));
        }
        self.store
            .configuration
            .delete_plugin(Some(&tenant.id), name, version)
            .await
            .map_err(ChangeError::of("plugin"))?;
        tenant.change(|state| {
            for number in versions.iter().filter(|number| goes(**number)) {
                state.forget_upload(name, *number);
            }
            if let Some(versions) = state.plugins.get_mut(name) {
                versions.retain(|number, _| !goes(*number));
                if versions.is_empty() {
                    state.plugins.remove(name);
                }
            }
        });
        Ok(())
    }
}
