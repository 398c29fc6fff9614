//! Follows configuration changes of other nodes.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Registry;
use super::turns::compile_pool::For;
use crate::model::{TenantId, WebhookId};
use crate::pipeline::compiled::tenant::Tenant;
use crate::plugin::Plugin;
use crate::store::ConfigurationChange;

/// Tenants whose changes are read at once: one with a large configuration holds up no other.
const READERS_MAX: usize = 4;

/// Changes of one tenant that are remembered one by one; beyond that the whole tenant is read.
const CHANGES_MAX: usize = 256;

/// What is still to be read, by tenant; that of no single tenant is under `None`.
#[derive(Default)]
struct Unread {
    changes: HashMap<Option<TenantId>, Vec<ConfigurationChange>>,
    /// In the order of their first change.
    waiting: VecDeque<Option<TenantId>>,
    /// Those that are being read.
    busy: HashSet<Option<TenantId>>,
}

impl Unread {
    /// Adds a change, unless reading what is remembered covers it.
    fn add(&mut self, change: ConfigurationChange) {
        let whose = match &change {
            ConfigurationChange::Webhook(tenant, _) | ConfigurationChange::Tenant(tenant) => {
                Some(tenant.clone())
            }
            ConfigurationChange::Keys | ConfigurationChange::All => None,
        };
        let known = self.changes.entry(whose.clone()).or_default();
        if known.is_empty() && !self.busy.contains(&whose) {
            self.waiting.push_back(whose.clone());
        }
        let whole = match &whose {
            Some(tenant) => ConfigurationChange::Tenant(tenant.clone()),
            None => ConfigurationChange::All,
        };
        if known.contains(&whole) || known.contains(&change) {
            return;
        }
        if change == whole || known.len() == CHANGES_MAX {
            *known = vec![whole];
        } else {
            known.push(change);
        }
    }

    /// The next changes to read, all of one tenant. They are followed by [`Unread::done`].
    fn next(&mut self) -> Option<(Option<TenantId>, Vec<ConfigurationChange>)> {
        let whose = self.waiting.pop_front()?;
        let changes = self.changes.remove(&whose).unwrap_or_default();
        self.busy.insert(whose.clone());
        Some((whose, changes))
    }

    fn done(&mut self, whose: &Option<TenantId>) {
        self.busy.remove(whose);
        if self.changes.contains_key(whose) {
            self.waiting.push_back(whose.clone());
        }
    }
}

impl Registry {
    /// Reads again whatever other nodes changed, until `stop`.
    pub async fn follow(
        self: Arc<Registry>,
        mut changes: mpsc::Receiver<ConfigurationChange>,
        mut stop: watch::Receiver<bool>,
    ) {
        const AT_ONCE_MAX: usize = 256;
        let mut heard = Vec::with_capacity(AT_ONCE_MAX);
        let (mut unread, mut readers) = (Unread::default(), JoinSet::new());
        loop {
            tokio::select! {
                count = changes.recv_many(&mut heard, AT_ONCE_MAX) => if count == 0 { return },
                Some(read) = readers.join_next() => match read {
                    Ok(whose) => unread.done(&whose),
                    Err(_) => return,
                },
                _ = stop.wait_for(|stop| *stop) => return,
            }
            heard.drain(..).for_each(|change| unread.add(change));
            while readers.len() < READERS_MAX
                && let Some((whose, changes)) = unread.next()
            {
                let reading = tokio::spawn(self.clone().read_all(changes));
                readers.spawn(async move {
                    // A panic has been reported, and ends nothing but this.
                    let _ = reading.await;
                    whose
                });
            }
        }
    }

    async fn read_all(self: Arc<Registry>, changes: Vec<ConfigurationChange>) {
        for change in changes {
            if let Err(error) = self.read_again(&change).await {
                tracing::error!(
                    ?change,
                    error = format!("{error:#}"),
                    "a change that another node made can't be taken over"
                );
            }
        }
    }

    async fn read_again(self: &Arc<Self>, change: &ConfigurationChange) -> anyhow::Result<()> {
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

    async fn read_webhook(
        self: &Arc<Self>,
        tenant: &TenantId,
        id: WebhookId,
    ) -> anyhow::Result<()> {
        let _turn = self.turns.of(tenant).await;
        match self.store.configuration.webhook(id).await? {
            Some(row) => {
                let registry = self.clone();
                let load = move || registry.load_webhook(row, &registry);
                self.compiler.run(For::Operator, load).await?
            }
            None => {
                if let Some(tenant) = self.tenant(tenant) {
                    tenant.change(|state| state.remove_webhook(id));
                }
                Ok(())
            }
        }
    }

    async fn read_tenant(self: &Arc<Self>, id: &TenantId) -> anyhow::Result<()> {
        let _turn = self.turns.of(id).await;
        let fresh = self.without_tenants();
        let mut stored = self.store.configuration.load_tenant(id).await?;
        stored.leave_out(&self.erasing.lock().clone());
        fresh.fill(stored, self).await?;
        let is_another = self.take_tenant(id, fresh.tenant(id)).await;
        {
            let mut sources = self.sources.write();
            sources.retain(|_, source| source.tenant != *id);
            sources.extend(std::mem::take(&mut *fresh.sources.write()));
        }
        if is_another { self.read_keys().await } else { Ok(()) }
    }

    async fn read_keys(&self) -> anyhow::Result<()> {
        let _alone = self.key_changes.write().await;
        let mut keys = self.store.configuration.keys().await?;
        {
            let erasing = self.erasing.lock();
            keys.retain(|key| key.tenant.as_ref().is_none_or(|id| !erasing.contains(id)));
        }
        *self.keys.write() = keys.into_iter().map(|key| (key.hash, Arc::new(key))).collect();
        self.rights_changed();
        Ok(())
    }

    /// Reads what belongs to all tenants, then one tenant after the other.
    async fn read_snapshot(self: &Arc<Self>) -> anyhow::Result<()> {
        let one = self.operator.lock().await;
        let mut all = self.store.configuration.load_shared().await?;
        let fresh = self.without_tenants();
        // Stored ones are loaded again below.
        fresh.profiles.write().retain(|name, _| name == super::STANDARD);
        fresh.event_types.write().clear();
        let stored: Vec<TenantId> = all.tenants.drain(..).map(|row| row.id).collect();
        fresh.fill(all, self).await?;
        {
            let _alone = self.profile_uses.write().await;
            *self.profiles.write() = std::mem::take(&mut *fresh.profiles.write());
            *self.event_types.write() = std::mem::take(&mut *fresh.event_types.write());
        }
        drop(one);
        let known = self.tenants().into_iter().map(|tenant| tenant.id.clone());
        for id in known.chain(stored).collect::<BTreeSet<_>>() {
            if let Err(error) = self.read_tenant(&id).await {
                tracing::error!(tenant = %id, error = format!("{error:#}"),
                    "the configuration of a tenant can't be taken over from the database");
            }
        }
        self.read_keys().await
    }

    /// Plugins that are loaded, by digest.
    pub(super) fn loaded_plugins(&self) -> HashMap<String, Plugin> {
        let mut compiled = HashMap::new();
        for tenant in self.tenants() {
            tenant.read(|state| {
                let stored = state.plugins.values().flat_map(|versions| versions.values());
                compiled.extend(stored.map(|s| (s.meta.digest.clone(), s.plugin.clone())));
            });
        }
        compiled
    }

    /// Replaces a tenant in place: existing handles see the new state. One that was deleted and created anew is
    /// another tenant: existing handles stay with the former, and the former's keys are none of the next. Keys
    /// are read by `read_keys` alone, because only that can't be overtaken by what was read before. True: the
    /// keys of the tenant have to be read.
    async fn take_tenant(&self, id: &TenantId, fresh: Option<Arc<Tenant>>) -> bool {
        let _none_are_read = self.key_changes.read().await;
        let mut tenants = self.tenants.write();
        let former = tenants.get(id).cloned();
        match (&former, fresh) {
            (Some(known), Some(fresh)) if known.is_same(&fresh) => {
                known.replace(&fresh);
                return false;
            }
            (_, Some(fresh)) => drop(tenants.insert(id.clone(), fresh)),
            (_, None) => drop(tenants.remove(id)),
        }
        if former.is_some() {
            self.keys.write().retain(|_, key| key.tenant.as_ref() != Some(id));
        }
        former.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(tenant: &str, number: u128) -> ConfigurationChange {
        ConfigurationChange::Webhook(
            tenant.parse().unwrap(),
            WebhookId(uuid::Uuid::from_u128(number)),
        )
    }

    #[test]
    fn changes_of_a_tenant_wait_for_each_other_only() {
        let (a, b) = (Some("a".parse().unwrap()), Some("b".parse().unwrap()));
        let mut unread = Unread::default();
        for change in [webhook("a", 1), webhook("a", 1), webhook("b", 2)] {
            unread.add(change);
        }
        assert_eq!(unread.next(), Some((a.clone(), vec![webhook("a", 1)])));
        unread.add(webhook("a", 3));
        assert_eq!(unread.next(), Some((b, vec![webhook("b", 2)])));
        assert_eq!(unread.next(), None);
        unread.done(&a);
        assert_eq!(unread.next(), Some((a, vec![webhook("a", 3)])));
    }

    #[test]
    fn the_whole_tenant_stands_for_its_webhooks() {
        let whole = ConfigurationChange::Tenant("a".parse().unwrap());
        let mut unread = Unread::default();
        (0..=CHANGES_MAX as u128).for_each(|number| unread.add(webhook("a", number)));
        unread.add(webhook("a", 0));
        assert_eq!(unread.next().unwrap().1, std::slice::from_ref(&whole));
        for change in [webhook("c", 1), ConfigurationChange::Tenant("c".parse().unwrap())] {
            unread.add(change);
        }
        assert_eq!(unread.next().unwrap().1.len(), 1);
        assert_eq!(unread.next(), None);
    }
}
