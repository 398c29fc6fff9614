//! Follows configuration changes of other nodes.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Registry;
use crate::model::{TenantId, WebhookId};
use crate::plugin::Plugin;
use crate::store::ConfigurationChange;

impl Registry {
    /// Reads again whatever other nodes changed, until `stop`.
    pub async fn follow(
        self: Arc<Registry>,
        mut changes: mpsc::Receiver<ConfigurationChange>,
        mut stop: watch::Receiver<bool>,
    ) {
        const AT_ONCE_MAX: usize = 256;
        let mut heard = Vec::with_capacity(AT_ONCE_MAX);
        loop {
            tokio::select! {
                count = changes.recv_many(&mut heard, AT_ONCE_MAX) => if count == 0 { return },
                _ = stop.wait_for(|stop| *stop) => return,
            }
            for change in without_repetitions(std::mem::take(&mut heard)) {
                if let Err(error) = self.read_again(&change).await {
                    tracing::error!(
                        ?change,
                        error = format!("{error:#}"),
                        "a change that another node made can't be taken over"
                    );
                }
            }
        }
    }

    async fn read_again(&self, change: &ConfigurationChange) -> anyhow::Result<()> {
        match change {
            ConfigurationChange::Webhook(tenant, id) if self.tenant(tenant).is_some() => {
                self.read_webhook(tenant, *id).await
            }
            ConfigurationChange::Webhook(tenant, _) | ConfigurationChange::Tenant(tenant) => {
                self.read_tenant(tenant).await
            }
            ConfigurationChange::Keys => self.read_keys().await,
            ConfigurationChange::All => self.read_snapshot().await,
        }
    }

    async fn read_webhook(&self, tenant: &TenantId, id: WebhookId) -> anyhow::Result<()> {
        let _one = self.changes.lock().await;
        match self.store.configuration.webhook(id).await? {
            Some(row) => self.load_webhook(row),
            None => {
                if let Some(tenant) = self.tenant(tenant) {
                    tenant.change(|state| state.remove_webhook(id));
                }
                Ok(())
            }
        }
    }

    async fn read_tenant(&self, id: &TenantId) -> anyhow::Result<()> {
        let _one = self.changes.lock().await;
        let fresh = self.without_tenants();
        fresh.fill(self.store.configuration.load_tenant(id).await?, self.compiled()).await?;
        self.take_tenant(id, fresh.tenant(id));
        let mut sources = self.sources.write();
        sources.retain(|_, source| source.tenant != *id);
        sources.extend(std::mem::take(&mut *fresh.sources.write()));
        drop(sources);
        *self.keys.write() = std::mem::take(&mut *fresh.keys.write());
        Ok(())
    }

    async fn read_keys(&self) -> anyhow::Result<()> {
        let _one = self.changes.lock().await;
        let keys = self.store.configuration.keys().await?;
        *self.keys.write() = keys.into_iter().map(|key| (key.hash, Arc::new(key))).collect();
        Ok(())
    }

    async fn read_snapshot(&self) -> anyhow::Result<()> {
        let _one = self.changes.lock().await;
        let all = self.store.configuration.load().await?;
        let fresh = self.without_tenants();
        // Stored ones are loaded again below.
        fresh.profiles.write().retain(|name, _| name == super::STANDARD);
        fresh.event_types.write().clear();
        fresh.fill(all, self.compiled()).await?;
        *self.profiles.write() = std::mem::take(&mut *fresh.profiles.write());
        *self.event_types.write() = std::mem::take(&mut *fresh.event_types.write());
        let known = self.tenants().into_iter().map(|tenant| tenant.id.clone());
        let stored = fresh.tenants().into_iter().map(|tenant| tenant.id.clone());
        for id in known.chain(stored).collect::<std::collections::BTreeSet<_>>() {
            self.take_tenant(&id, fresh.tenant(&id));
        }
        *self.sources.write() = std::mem::take(&mut *fresh.sources.write());
        *self.keys.write() = std::mem::take(&mut *fresh.keys.write());
        Ok(())
    }

    /// Compiled plugins by digest.
    fn compiled(&self) -> HashMap<String, Plugin> {
        let mut compiled = HashMap::new();
        for tenant in self.tenants() {
            tenant.read(|state| {
                let stored = state.plugins.values().flat_map(|versions| versions.values());
                compiled.extend(stored.map(|s| (s.meta.digest.clone(), s.plugin.clone())));
            });
        }
        compiled
    }

    /// Replaces a tenant in place: existing handles see the new state.
    fn take_tenant(
        &self,
        id: &TenantId,
        fresh: Option<Arc<crate::pipeline::compiled::tenant::Tenant>>,
    ) {
        let mut tenants = self.tenants.write();
        match (tenants.get(id), fresh) {
            (Some(known), Some(fresh)) => known.replace(&fresh),
            (None, Some(fresh)) => drop(tenants.insert(id.clone(), fresh)),
            (_, None) => drop(tenants.remove(id)),
        }
    }
}

/// Each change once, in the order of the first mention; a webhook is left out if its whole tenant is read.
fn without_repetitions(heard: Vec<ConfigurationChange>) -> Vec<ConfigurationChange> {
    if heard.contains(&ConfigurationChange::All) {
        return vec![ConfigurationChange::All];
    }
    let mut once: Vec<ConfigurationChange> = Vec::with_capacity(heard.len());
    for change in heard {
        let whole = matches!(&change, ConfigurationChange::Webhook(tenant, _) if once.contains(&ConfigurationChange::Tenant(tenant.clone())));
        if !whole && !once.contains(&change) {
            once.push(change);
        }
    }
    once
}
