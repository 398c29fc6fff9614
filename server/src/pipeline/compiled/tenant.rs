//! A tenant's configuration, compiled and in memory: all that the pipeline needs, so that nothing is read
//! from the database before the first attempt.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use antar_json::{OutOfSteps, Steps};
use antar_rules::{Index, Pattern};
use parking_lot::RwLock;
use uuid::Uuid;

use super::profile::{CatalogType, Profile};
use super::webhook::Webhook;
use crate::model::{
    Event, EventType, Millis, PluginMeta, PluginName, Secret, SecretName, SourceId, TenantId,
    TenantSpec, WebhookId,
};
use crate::plugin::Plugin;

/// A tenant's configuration. Readers hold the lock for microseconds and never across an await.
pub struct Tenant {
    pub id: TenantId,
    /// No other tenant ever has it, not even one that is created anew under the same id.
    pub generation: Uuid,
    state: RwLock<TenantState>,
}

/// The state behind the lock.
pub struct TenantState {
    pub spec: TenantSpec,
    pub created_at: Millis,
    pub profile: Arc<Profile>,
    /// The tenant's own catalog entries.
    pub event_types: BTreeMap<EventType, Arc<CatalogType>>,
    pub secrets: BTreeMap<SecretName, StoredSecret>,
    /// Versions by name, oldest first.
    pub plugins: BTreeMap<PluginName, BTreeMap<u32, StoredPlugin>>,
    /// Versions that are being compiled, or failed to compile.
    pub uploads: BTreeMap<PluginName, BTreeMap<u32, PluginMeta>>,
    /// Known values by facet, each with the label shown to people.
    pub facet_values: BTreeMap<String, FacetValues>,
    /// Estimated bytes of its sources, which are kept elsewhere.
    pub sources: BTreeMap<SourceId, usize>,
    webhooks: HashMap<WebhookId, Arc<Webhook>>,
    webhook_names: HashMap<String, WebhookId>,
    index: Index<WebhookId>,
    /// Estimated bytes of the webhooks, the event types and the facet values.
    bytes: usize,
}

/// Values of a facet, each with the label shown to people.
pub type FacetValues = BTreeMap<String, Option<String>>;

#[derive(Clone)]
pub struct StoredSecret {
    pub value: Secret,
    pub updated_at: Millis,
}

#[derive(Clone)]
pub struct StoredPlugin {
    pub meta: PluginMeta,
    pub plugin: Plugin,
}

impl Tenant {
    #[must_use]
    pub fn new(
        id: TenantId,
        spec: TenantSpec,
        created_at: Millis,
        profile: Arc<Profile>,
    ) -> Tenant {
        let state = TenantState {
            spec,
            created_at,
            profile,
            event_types: BTreeMap::new(),
            secrets: BTreeMap::new(),
            plugins: BTreeMap::new(),
            uploads: BTreeMap::new(),
            facet_values: BTreeMap::new(),
            sources: BTreeMap::new(),
            webhooks: HashMap::new(),
            webhook_names: HashMap::new(),
            index: Index::new(),
            bytes: 0,
        };
        Tenant { id, generation: Uuid::new_v4(), state: RwLock::new(state) }
    }

    /// Whether `fresh` is the same tenant as this one, read anew.
    #[must_use]
    pub fn is_same(&self, fresh: &Tenant) -> bool {
        let created_at = |tenant: &Tenant| tenant.read(|state| state.created_at);
        self.id == fresh.id && created_at(self) == created_at(fresh)
    }

    /// Takes over the state of `fresh`.
    pub fn replace(&self, fresh: &Tenant) {
        std::mem::swap(&mut *self.state.write(), &mut *fresh.state.write());
    }

    pub fn read<T>(&self, look: impl FnOnce(&TenantState) -> T) -> T {
        look(&self.state.read())
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut TenantState) -> T) -> T {
        change(&mut self.state.write())
    }

    #[must_use]
    pub fn webhook(&self, id: WebhookId) -> Option<Arc<Webhook>> {
        self.read(|state| state.webhooks.get(&id).cloned())
    }

    /// The webhooks that subscribe to `event`, disabled ones included. They share `steps`, and each may take
    /// `steps_max` of these. First each gets an equal part, so that an expensive rule leaves the others undecided
    /// only if these are expensive, too.
    #[must_use]
    pub fn route(&self, event: &Event, steps: &Steps, steps_max: u64) -> Routed {
        let mut open = self.read(|state| state.candidates(event, steps));
        let about = event.about_webhook();
        open.retain(|webhook| about != Some(webhook.id));
        let mut wanted = Vec::new();
        let equal_part = steps.left() / (open.len() as u64).max(1);
        for part in [equal_part.min(steps_max), steps_max] {
            open.retain(|webhook| match webhook.accepts(event, steps, part) {
                Ok(accepted) => {
                    wanted.extend(accepted.then(|| webhook.clone()));
                    false
                }
                Err(OutOfSteps) => true,
            });
        }
        wanted.sort_unstable_by_key(|webhook| webhook.id);
        Routed { wanted, undecided: open }
    }

    /// Inserts or replaces a webhook. The pattern for the index is made before readers have to wait, and the
    /// index is left alone if the webhook subscribes to the same events as before.
    pub fn put_webhook(&self, webhook: Arc<Webhook>) {
        let known = self.webhook(webhook.id);
        let same = known.is_some_and(|known| known.subscribes_like(&webhook));
        let pattern = (!same).then(|| webhook.plan.subscription.pattern());
        self.change(|state| state.put_webhook(webhook, pattern));
    }

    #[must_use]
    pub fn secret(&self, name: &str) -> Option<Secret> {
        let name: SecretName = name.parse().ok()?;
        self.read(|state| state.secrets.get(&name).map(|stored| stored.value.clone()))
    }

    /// `name` (the newest version) or `name@3`.
    #[must_use]
    pub fn plugin(&self, name: &str) -> Option<Plugin> {
        self.read(|state| state.plugin(name).map(|stored| stored.plugin.clone()))
    }
}

/// The webhooks that an event may go to, each list oldest first.
#[derive(Default)]
pub struct Routed {
    pub wanted: Vec<Arc<Webhook>>,
    /// Whether these want the event would take too many steps to tell.
    pub undecided: Vec<Arc<Webhook>>,
}

impl TenantState {
    #[must_use]
    pub fn plugin(&self, name: &str) -> Option<&StoredPlugin> {
        let (name, version) = match name.split_once('@') {
            Some((name, version)) => (name, Some(version.parse().ok()?)),
            None => (name, None),
        };
        let versions = self.plugins.get(&name.parse::<PluginName>().ok()?)?;
        match version {
            Some(version) => versions.get(&version),
            None => versions.values().next_back(),
        }
    }

    /// Version and digest of a plugin; none: there is no such plugin.
    #[must_use]
    pub fn plugin_version(&self, name: &str) -> Option<(u32, String)> {
        let meta = &self.plugin(name)?.meta;
        Some((meta.version, meta.digest.clone()))
    }

    /// Removes the upload of a version that is ready or deleted.
    pub fn forget_upload(&mut self, name: &PluginName, version: u32) {
        if let Some(versions) = self.uploads.get_mut(name) {
            versions.remove(&version);
            if versions.is_empty() {
                self.uploads.remove(name);
            }
        }
    }

    pub fn webhooks(&self) -> impl ExactSizeIterator<Item = &Arc<Webhook>> {
        self.webhooks.values()
    }

    #[must_use]
    pub fn is_webhook_name_taken(&self, name: &str) -> bool {
        self.webhook_names.contains_key(name)
    }

    #[must_use]
    pub fn webhook(&self, id: WebhookId) -> Option<&Arc<Webhook>> {
        self.webhooks.get(&id)
    }

    /// `pattern` is that of the webhook's subscription; none: it is the one in the index.
    fn put_webhook(&mut self, webhook: Arc<Webhook>, pattern: Option<Pattern>) {
        if let Some(pattern) = pattern {
            self.index.insert(webhook.id, pattern);
        }
        self.forget_webhook_name(webhook.id);
        self.webhook_names.insert(webhook.spec.name.clone(), webhook.id);
        self.bytes += webhook.plan.bytes;
        if let Some(before) = self.webhooks.insert(webhook.id, webhook) {
            self.bytes -= before.plan.bytes;
        }
    }

    /// Frees the name of a webhook, unless another one has taken it since.
    fn forget_webhook_name(&mut self, id: WebhookId) {
        let Some(known) = self.webhooks.get(&id) else { return };
        if self.webhook_names.get(&known.spec.name) == Some(&id) {
            self.webhook_names.remove(&known.spec.name);
        }
    }

    pub fn remove_webhook(&mut self, id: WebhookId) {
        self.index.remove(&id);
        self.forget_webhook_name(id);
        if let Some(before) = self.webhooks.remove(&id) {
            self.bytes -= before.plan.bytes;
        }
    }

    /// Inserts or replaces an event type. True: it is new.
    pub fn put_event_type(&mut self, known: Arc<CatalogType>) -> bool {
        self.bytes += known.bytes;
        let before = self.event_types.insert(known.spec.name.clone(), known);
        self.bytes -= before.as_ref().map_or(0, |before| before.bytes);
        before.is_none()
    }

    pub fn remove_event_type(&mut self, name: &EventType) {
        if let Some(before) = self.event_types.remove(name) {
            self.bytes -= before.bytes;
        }
    }

    /// Replaces the known values of a facet.
    pub fn put_facet_values(&mut self, facet: &str, values: FacetValues) {
        self.bytes += facet_bytes(&values);
        if let Some(before) = self.facet_values.insert(facet.to_owned(), values) {
            self.bytes -= facet_bytes(&before);
        }
    }

    /// Adds a value of a facet, unless it is known or the facet has `max` values already. True: it was added.
    pub fn learn_facet_value(
        &mut self,
        facet: &str,
        value: &str,
        label: Option<&str>,
        max: usize,
    ) -> bool {
        let values = self.facet_values.entry(facet.to_owned()).or_default();
        let new = values.len() < max && !values.contains_key(value);
        if new {
            values.insert(value.to_owned(), label.map(ToOwned::to_owned));
            self.bytes += facet_value_bytes(value, label);
        }
        new
    }

    /// Memory that the tenant's configuration takes, estimated.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let secrets = self.secrets.values().map(|stored| stored.value.reveal().len());
        self.bytes + secrets.sum::<usize>() + self.sources.values().sum::<usize>()
    }

    /// The webhooks that may subscribe to `event`, disabled ones included, oldest first. Narrows them down within a
    /// few steps, because the lock is held meanwhile.
    fn candidates(&self, event: &Event, steps: &Steps) -> Vec<Arc<Webhook>> {
        const STEPS_MAX: u64 = 1_000_000;
        let document = event.document.root();
        match steps.part(STEPS_MAX, |part| self.index.candidates(document, part)) {
            Ok(ids) => ids.iter().filter_map(|id| self.webhooks.get(id)).cloned().collect(),
            Err(OutOfSteps) => {
                let mut all: Vec<_> = self.webhooks.values().cloned().collect();
                all.sort_unstable_by_key(|webhook| webhook.id);
                all
            }
        }
    }

    /// The catalog entry of a type: the tenant's own, else its profile's.
    #[must_use]
    pub fn catalog_type(&self, event_type: &EventType) -> Option<&Arc<CatalogType>> {
        self.event_types.get(event_type).or_else(|| self.profile.types.get(event_type))
    }
}

/// Estimated memory of one facet value.
fn facet_value_bytes(value: &str, label: Option<&str>) -> usize {
    const ENTRY_BYTES: usize = 96;
    ENTRY_BYTES + value.len() + label.map_or(0, str::len)
}

/// Estimated memory of all values of a facet.
#[must_use]
pub fn facet_bytes(values: &FacetValues) -> usize {
    values.iter().map(|(value, label)| facet_value_bytes(value, label.as_deref())).sum()
}
