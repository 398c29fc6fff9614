//! Recompiles plugins after an upgrade, when their machine code is from another version. The server serves
//! meanwhile; deliveries that need such a plugin wait, and no tenant waits for the plugins of another one.

use std::sync::Arc;
use std::time::Duration;

use super::Registry;
use crate::model::{PluginMeta, TenantId};
use crate::plugin::{Plugin, Turn, UploadError};

/// Wait before a file is read or compiled again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Faults of this machine, such as a process that can't be started, after which a plugin is given up.
const FAULTS_MAX: u32 = 3;

/// What to do after a plugin's compilation has ended.
enum Next {
    /// Go on with the next plugin.
    Done,
    /// Try again: the database did not return the file.
    Unavailable,
    /// Try again a few times.
    Fault(String),
}

struct Outdated {
    tenant: TenantId,
    meta: PluginMeta,
    plugin: Plugin,
}

impl Registry {
    /// Starts compiling the plugins that are not ready. Tenants take turns with each other and with uploads.
    pub fn recompile_plugins(self: &Arc<Self>) {
        let mut count = 0;
        for mut outdated in self.outdated() {
            count += outdated.len();
            // The smallest first, so that most are ready soon.
            outdated.sort_unstable_by_key(|one| one.meta.size_bytes);
            tokio::spawn(self.clone().recompile(outdated));
        }
        if count > 0 {
            tracing::info!(count, "plugins are compiled for this version of Antar");
        }
    }

    /// The plugins that are not ready, of each tenant that has any.
    fn outdated(&self) -> Vec<Vec<Outdated>> {
        let of_tenants = self.tenants().into_iter().map(|tenant| {
            tenant.read(|state| {
                let stored = state.plugins.values().flat_map(|versions| versions.values());
                let outdated = stored.filter(|stored| !stored.plugin.is_ready()).map(|stored| {
                    let (meta, plugin) = (stored.meta.clone(), stored.plugin.clone());
                    Outdated { tenant: tenant.id.clone(), meta, plugin }
                });
                outdated.collect::<Vec<_>>()
            })
        });
        of_tenants.filter(|outdated| !outdated.is_empty()).collect()
    }

    async fn recompile(self: Arc<Self>, outdated: Vec<Outdated>) {
        for one in outdated {
            let mut faults = 0;
            // A file shared by several tenants becomes ready for all of them at once.
            while !one.plugin.is_ready() {
                let turn = self.host.turn(one.tenant.as_str()).await;
                if one.plugin.is_ready() {
                    break;
                }
                match self.recompile_one(&one, turn).await {
                    Next::Done => break,
                    Next::Unavailable => {}
                    Next::Fault(error) if faults == FAULTS_MAX => one.plugin.give_up(&error),
                    Next::Fault(_) => faults += 1,
                }
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }

    /// Reads the file now that it can be compiled, so that files don't fill the memory.
    async fn recompile_one(&self, one: &Outdated, turn: Turn) -> Next {
        let Outdated { tenant, meta, plugin } = one;
        let wasm =
            self.store.configuration.plugin_wasm(Some(tenant), &meta.name, meta.version).await;
        let wasm = match wasm {
            Ok(wasm) => wasm.into(),
            Err(error) => {
                // Either the plugin was deleted and is no longer called, or the database is temporarily
                // unavailable. Another tenant with the same file compiles it by itself.
                let is_known = self.tenant(tenant).is_some_and(|tenant| {
                    tenant.plugin(&format!("{}@{}", meta.name, meta.version)).is_some()
                });
                if !is_known {
                    return Next::Done;
                }
                tracing::warn!(%error, %tenant, plugin = %meta.name, "a plugin can't be read yet");
                return Next::Unavailable;
            }
        };
        match self.host.recompile(turn, plugin, wasm).await {
            Ok(()) => Next::Done,
            Err(UploadError::Internal(error)) => {
                tracing::error!(%error, %tenant, plugin = %meta.name, version = meta.version,
                    "a plugin can't be compiled at the moment");
                Next::Fault(error)
            }
            Err(error) => {
                tracing::error!(%error, %tenant, plugin = %meta.name, version = meta.version,
                    "this version of Antar can't compile a plugin; upload it anew");
                Next::Done
            }
        }
    }
}
