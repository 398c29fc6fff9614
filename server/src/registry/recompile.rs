//! Recompiles plugins after an upgrade, when their machine code is from another version. The server serves
//! meanwhile; deliveries that need such a plugin wait.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Registry;
use crate::model::{PluginMeta, TenantId};
use crate::plugin::Plugin;

/// Wait before reading a file again that the database did not return.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

struct Outdated {
    tenant: TenantId,
    meta: PluginMeta,
    plugin: Plugin,
}

impl Registry {
    /// Starts compiling the plugins that are not ready, as many at once as uploads. Each compile reads its
    /// file only when it starts, so that the files don't fill the memory.
    pub fn recompile_plugins(self: &Arc<Self>) {
        let mut outdated = self.outdated();
        if outdated.is_empty() {
            return;
        }
        tracing::info!(count = outdated.len(), "plugins are compiled for this version of Antar");
        // Popped from the end: the smallest first, so that most are ready soon.
        outdated.sort_unstable_by_key(|one| std::cmp::Reverse(one.meta.size_bytes));
        let outdated = Arc::new(Mutex::new(outdated));
        for _ in 0..self.host.limits().compiles_max {
            tokio::spawn(self.clone().recompile(outdated.clone()));
        }
    }

    fn outdated(&self) -> Vec<Outdated> {
        let mut found = Vec::new();
        for tenant in self.tenants() {
            tenant.read(|state| {
                let stored = state.plugins.values().flat_map(|versions| versions.values());
                found.extend(stored.filter(|stored| !stored.plugin.is_ready()).map(|stored| {
                    let (meta, plugin) = (stored.meta.clone(), stored.plugin.clone());
                    Outdated { tenant: tenant.id.clone(), meta, plugin }
                }));
            });
        }
        found
    }

    async fn recompile(self: Arc<Self>, outdated: Arc<Mutex<Vec<Outdated>>>) {
        loop {
            let Some(one) = outdated.lock().pop() else { return };
            // A file shared by several tenants becomes ready for all of them at once.
            while !one.plugin.is_ready() {
                self.recompile_one(&one).await;
            }
        }
    }

    async fn recompile_one(&self, one: &Outdated) {
        let Outdated { tenant, meta, plugin } = one;
        let wasm =
            self.store.configuration.plugin_wasm(Some(tenant), &meta.name, meta.version).await;
        match wasm {
            Ok(wasm) => {
                if let Err(error) = self.host.recompile(plugin, wasm.into()).await {
                    tracing::error!(%error, %tenant, plugin = %meta.name, version = meta.version,
                        "this version of Antar can't compile a plugin; upload it anew");
                }
            }
            Err(error) => {
                // Either the plugin was deleted and is no longer called, or the database is temporarily
                // unavailable.
                let is_known = self.tenant(tenant).is_some_and(|tenant| {
                    tenant.plugin(&format!("{}@{}", meta.name, meta.version)).is_some()
                });
                if !is_known {
                    plugin.give_up("it was deleted");
                    return;
                }
                tracing::warn!(%error, %tenant, plugin = %meta.name, "a plugin can't be read yet");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}
