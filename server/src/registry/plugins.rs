//! Uploaded plugins. A version is never changed.

use std::sync::Arc;

use bytes::Bytes;

use super::{ChangeError, Registry};
use crate::model::{PluginKind, PluginMeta, PluginName};
use crate::pipeline::tenant::{StoredPlugin, Tenant};
use crate::plugin::{Kind, Owner};
use crate::store::PluginRow;

impl Registry {
    /// Compiles, describes and stores a new version.
    pub async fn upload_plugin(
        &self,
        tenant: &Arc<Tenant>,
        name: PluginName,
        wasm: Bytes,
    ) -> Result<PluginMeta, ChangeError> {
        // Compiling takes its time and needs nothing of ours.
        let owner = Owner { tenant: tenant.id.to_string(), plugin: name.to_string() };
        let plugin = self.host.compile(wasm.clone(), &owner).await?;
        let _one = self.change_in(tenant).await?;
        let mut meta = PluginMeta {
            name: name.clone(),
            version: 0,
            kind: match plugin.kind() {
                Kind::Filter => PluginKind::Filter,
                Kind::Transform => PluginKind::Transform,
            },
            digest: plugin.digest().to_owned(),
            size_bytes: plugin.size_bytes(),
            description: plugin.description().to_owned(),
            config_schema: plugin.config_schema().and_then(|schema| schema.parse().ok()),
            created_at: self.now(),
        };
        let row = PluginRow { tenant: Some(tenant.id.clone()), meta: meta.clone() };
        meta.version = self.store.insert_plugin(row, wasm.to_vec()).await?;
        tenant.change(|state| {
            let stored = StoredPlugin { meta: meta.clone(), plugin };
            state.plugins.entry(name).or_default().insert(meta.version, stored);
        });
        Ok(meta)
    }

    /// Deletes a version, or all of them; not while something names it.
    pub async fn delete_plugin(
        &self,
        tenant: &Arc<Tenant>,
        name: &PluginName,
        version: Option<u32>,
    ) -> Result<(), ChangeError> {
        let _one = self.change_in(tenant).await?;
        let versions = tenant.read(|state| {
            state.plugins.get(name).map(|versions| versions.keys().copied().collect::<Vec<_>>())
        });
        let versions = versions.ok_or(ChangeError::NotFound("plugin"))?;
        let goes = |number: u32| version.is_none_or(|version| version == number);
        if !versions.iter().any(|number| goes(*number)) {
            return Err(ChangeError::NotFound("plugin"));
        }
        let all_go = versions.iter().all(|number| goes(*number));
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
            .delete_plugin(Some(&tenant.id), name, version)
            .await
            .map_err(ChangeError::of("plugin"))?;
        tenant.change(|state| {
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
