//! Plugin uploads: compiled while the caller waits, or in the background if that takes longer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::{ChangeError, Registry, to_its_end};
use crate::model::{PluginKind, PluginMeta, PluginName, PluginPool, PluginState};
use crate::pipeline::compiled::tenant::{StoredPlugin, Tenant};
use crate::plugin::{Inspection, Kind, Owner, Plugin, PoolName, UploadError};
use crate::store::{PluginRow, StoreError};

/// A compiled plugin, and the microseconds that one call takes.
type Compiled = Result<(Plugin, Option<u64>), UploadError>;

/// A compilation under way. Dropping it, as when the client is gone, ends it.
struct Compiling(JoinHandle<Compiled>);

impl Drop for Compiling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Registry {
    /// Compiles, describes and stores a new version. If compiling takes longer than a response should, the
    /// version is stored uncompiled and continues in the background: `compiling`, then `ready` or `failed`.
    pub async fn upload_plugin(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        name: PluginName,
        wasm: Bytes,
    ) -> Result<PluginMeta, ChangeError> {
        self.check_new_version(tenant, wasm.len() as u64)?;
        let owner = owner_of(tenant, &name);
        let taken = self.host.take(wasm.clone(), &owner).await?;
        let Inspection { kind, imports, exports } = taken.inspection.clone();
        let mut meta = PluginMeta {
            name,
            version: 0,
            kind: match kind {
                Kind::Filter => PluginKind::Filter,
                Kind::Transform => PluginKind::Transform,
            },
            digest: taken.digest.clone(),
            size_bytes: wasm.len() as u64,
            description: String::new(),
            config_schema: None,
            state: PluginState::Compiling,
            error: None,
            pool: None,
            imports,
            exports,
            call_us: None,
            created_at: self.now(),
        };
        let (registry, of) = (self.clone(), tenant.clone());
        let mut compiling = Compiling(tokio::spawn(async move {
            let plugin = registry.host.compile_taken(taken, &owner).await?;
            let call_us = registry.cost_us(&of, &plugin).await;
            Ok((plugin, call_us))
        }));
        let wait = Duration::from_millis(self.host.limits().upload_wait_ms);
        let compiled = match tokio::time::timeout(wait, &mut compiling.0).await {
            Ok(ended) => Some(ended.unwrap_or_else(broke)?),
            Err(_) => None,
        };
        if let Some((plugin, call_us)) = &compiled {
            complete(&mut meta, plugin, *call_us);
        }
        let (registry, tenant) = (self.clone(), tenant.clone());
        to_its_end(async move {
            let _change = registry.change_in(&tenant).await?;
            registry.check_new_version(&tenant, meta.size_bytes)?;
            let row = PluginRow { tenant: Some(tenant.id.clone()), meta: meta.clone() };
            meta.version = registry.store.configuration.insert_plugin(row, wasm.to_vec()).await?;
            put(&tenant, meta.clone(), compiled.map(|(plugin, _)| plugin));
            if meta.state == PluginState::Compiling {
                tokio::spawn(registry.clone().finish(tenant.clone(), meta.clone(), compiling));
            }
            Ok(meta)
        })
        .await
    }

    /// Refuses one version too many, or more bytes than the files of a tenant may have.
    fn check_new_version(&self, tenant: &Tenant, size_bytes: u64) -> Result<(), ChangeError> {
        let config = &self.config.tenant;
        let (count, bytes) = tenant.read(|state| {
            let ready =
                state.plugins.values().flat_map(BTreeMap::values).map(|stored| &stored.meta);
            let uploads = state.uploads.values().flat_map(BTreeMap::values);
            let sizes = ready.chain(uploads).map(|meta| meta.size_bytes);
            sizes.fold((0, 0), |(count, bytes): (usize, u64), size| (count + 1, bytes + size))
        });
        let max = config.plugin_versions_max;
        Registry::check_count(count, "plugin versions", ("plugin_versions_max", max))?;
        let max = config.plugin_bytes_max;
        if bytes.saturating_add(size_bytes) > max {
            return Err(ChangeError::Conflict(format!(
                "the files of a tenant's plugins have {max} bytes at most (tenant.plugin_bytes_max); delete \
                 versions first"
            )));
        }
        Ok(())
    }

    /// Compiles the uploads that an earlier run of the server left uncompiled. No tenant waits for those of
    /// another one to end.
    pub fn resume_uploads(self: &Arc<Self>) {
        for tenant in self.tenants() {
            let unfinished: Vec<PluginMeta> = tenant.read(|state| {
                let uploads = state.uploads.values().flat_map(|versions| versions.values());
                uploads.filter(|meta| meta.state == PluginState::Compiling).cloned().collect()
            });
            if !unfinished.is_empty() {
                tokio::spawn(self.clone().resume(tenant, unfinished));
            }
        }
    }

    async fn resume(self: Arc<Self>, tenant: Arc<Tenant>, unfinished: Vec<PluginMeta>) {
        for meta in unfinished {
            // Read only once it can be compiled, so that the files don't fill the memory.
            let turn = self.host.turn(tenant.id.as_str()).await;
            let stored = &self.store.configuration;
            let wasm = stored.plugin_wasm(Some(&tenant.id), &meta.name, meta.version).await;
            let wasm = match wasm {
                Ok(wasm) => wasm.into(),
                Err(error) => {
                    tracing::error!(%error, plugin = %meta.name, "an upload can't be read");
                    continue;
                }
            };
            let (registry, of) = (self.clone(), tenant.clone());
            let owner = owner_of(&tenant, &meta.name);
            let compiling = Compiling(tokio::spawn(async move {
                let plugin = registry.host.compile_again(turn, wasm, &owner).await?;
                let call_us = registry.cost_us(&of, &plugin).await;
                Ok((plugin, call_us))
            }));
            self.clone().finish(tenant.clone(), meta, compiling).await;
        }
    }

    /// Waits for the compiler, then stores the result.
    async fn finish(
        self: Arc<Self>,
        tenant: Arc<Tenant>,
        mut meta: PluginMeta,
        mut compiling: Compiling,
    ) {
        let compiled = (&mut compiling.0).await.unwrap_or_else(broke);
        match &compiled {
            Ok((plugin, call_us)) => complete(&mut meta, plugin, *call_us),
            Err(error) => {
                meta.state = PluginState::Failed;
                meta.error = Some(error.to_string());
            }
        }
        // The tenant was erased meanwhile: there is nothing to update.
        let Ok(_change) = self.own_change_in(&tenant).await else { return };
        let row = PluginRow { tenant: Some(tenant.id.clone()), meta: meta.clone() };
        match self.store.configuration.update_plugin(row).await {
            Ok(()) => put(&tenant, meta, compiled.ok().map(|(plugin, _)| plugin)),
            Err(StoreError::NotFound) => {}
            Err(error) => {
                tracing::error!(%error, plugin = %meta.name, "what came of an upload can't be stored");
            }
        }
    }
}

fn owner_of(tenant: &Tenant, name: &PluginName) -> Owner {
    Owner { tenant: tenant.id.to_string(), plugin: name.to_string() }
}

fn broke(error: tokio::task::JoinError) -> Compiled {
    Err(UploadError::Internal(error.to_string()))
}

fn complete(meta: &mut PluginMeta, plugin: &Plugin, call_us: Option<u64>) {
    meta.state = PluginState::Ready;
    // Until now they were what the upload's names say.
    let Inspection { imports, exports, .. } = plugin.inspection();
    (meta.imports, meta.exports) = (imports.clone(), exports.clone());
    meta.description = plugin.description().to_owned();
    meta.config_schema = plugin.config_schema().and_then(|schema| schema.parse().ok());
    meta.pool = plugin.pool().map(|pool| match pool {
        PoolName::Small => PluginPool::Small,
        PoolName::Large => PluginPool::Large,
    });
    meta.call_us = call_us;
}

/// Puts a version into memory: among those that can be called, or among the other uploads.
fn put(tenant: &Tenant, meta: PluginMeta, plugin: Option<Plugin>) {
    tenant.change(|state| {
        let (name, version) = (meta.name.clone(), meta.version);
        match plugin {
            Some(plugin) => {
                state.forget_upload(&name, version);
                let versions = state.plugins.entry(name).or_default();
                versions.insert(version, StoredPlugin { meta, plugin });
            }
            None => {
                state.uploads.entry(name).or_default().insert(version, meta);
            }
        }
    });
}
