//! Loads the registry at startup: opens and compiles everything that is stored.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context;
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::compile::{Surroundings, compile};
use super::headers::When;
use super::turns::Turns;
use super::turns::compile_pool::{CompilePool, For};
use super::{Registry, STANDARD, profiles, sources};
use crate::clock::Clock;
use crate::config::Config;
use crate::model::{
    EventTypeSpec, PluginKind, PluginMeta, PluginPool, PluginState, ProfileSpec, TenantId,
    WebhookSpec,
};
use crate::pipeline::client::address::AddressPolicy;
use crate::pipeline::compiled::profile::CatalogType;
use crate::pipeline::compiled::tenant::{StoredPlugin, StoredSecret, Tenant};
use crate::pipeline::compiled::webhook::Webhook;
use crate::plugin::{Host, Inspection, Kind, Known, Owner, Plugin, PoolName, UploadError};
use crate::seal::Sealer;
use crate::store::{EventTypeRow, PluginRow, ProfileRow, Snapshot, Store, WebhookRow};
use crate::yaml;

impl Registry {
    /// Reads everything. Fails if something stored can't be used any more, and names it: nothing is left out
    /// silently.
    pub async fn load(
        config: Arc<Config>,
        clock: Clock,
        store: Store,
        sealer: Sealer,
        host: Arc<Host>,
        policy: AddressPolicy,
    ) -> anyhow::Result<Arc<Registry>> {
        let all = store
            .configuration
            .load()
            .await
            .context("the configuration can't be read from the database")?;
        let standard = yaml::to_json_text(include_str!("standard.yaml"))?;
        let standard: ProfileSpec =
            serde_json::from_str(&standard).context("the built-in profile is broken")?;
        let standard_retry =
            standard.retry.complete().context("the built-in profile has no complete `retry`")?;
        let standard = profiles::compile_profile(standard, &config, &standard_retry, When::Saved)?;
        let standard = Arc::new(standard);
        let (places, waiting_max) = (config.tenant.compiles_max, config.tenant.changes_waiting_max);
        let registry = Arc::new(Registry {
            compiler: Arc::new(CompilePool::new(places, waiting_max)),
            config,
            clock,
            store,
            sealer,
            host,
            policy,
            tenants: RwLock::default(),
            profiles: RwLock::new(BTreeMap::from([(STANDARD.to_owned(), standard)])),
            standard_retry,
            event_types: RwLock::default(),
            sources: RwLock::default(),
            keys: RwLock::default(),
            rights: watch::Sender::new(()),
            erasing: Mutex::default(),
            turns: Turns::default(),
            operator: tokio::sync::Mutex::default(),
            profile_uses: Arc::default(),
            key_changes: tokio::sync::RwLock::default(),
        });
        registry.fill(all, &registry.without_tenants()).await?;
        registry.tenants().iter().for_each(|tenant| registry.warn_of_limits(tenant));
        Ok(registry)
    }

    /// A second registry without tenants and what they own.
    pub(super) fn without_tenants(&self) -> Arc<Registry> {
        Arc::new(Registry {
            standard_retry: self.standard_retry.clone(),
            config: self.config.clone(),
            clock: self.clock.clone(),
            store: self.store.clone(),
            sealer: self.sealer.clone(),
            host: self.host.clone(),
            policy: self.policy.clone(),
            tenants: RwLock::default(),
            profiles: RwLock::new(self.profiles.read().clone()),
            event_types: RwLock::new(self.event_types.read().clone()),
            sources: RwLock::default(),
            keys: RwLock::default(),
            rights: watch::Sender::new(()),
            erasing: Mutex::default(),
            turns: Turns::default(),
            operator: tokio::sync::Mutex::default(),
            profile_uses: Arc::default(),
            key_changes: tokio::sync::RwLock::default(),
            compiler: self.compiler.clone(),
        })
    }

    /// Loads a snapshot into the registry. What is the same in `before` is taken over from there and not
    /// compiled again.
    pub(super) async fn fill(
        self: &Arc<Self>,
        all: Snapshot,
        before: &Arc<Registry>,
    ) -> anyhow::Result<()> {
        for row in all.profiles {
            let (registry, before) = (self.clone(), before.clone());
            self.compiler
                .run(For::Operator, move || registry.load_profile(&row, &before))
                .await??;
        }
        for row in &all.tenants {
            let spec = read::<crate::model::TenantSpec>("tenant", row.id.as_str(), &row.spec)?;
            let named = self.profile(spec.profile.as_deref().unwrap_or(STANDARD));
            let profile = named.or_else(|| self.profile(STANDARD));
            let profile = profile.context("the built-in profile is gone")?;
            let tenant = Tenant::new(row.id.clone(), spec, row.created_at, profile);
            self.tenants.write().insert(row.id.clone(), Arc::new(tenant));
        }
        for row in all.event_types {
            let (registry, before) = (self.clone(), before.clone());
            let load = move || registry.read_event_type(&row, &before);
            self.compiler.run(For::Operator, load).await??;
        }
        for row in &all.secrets {
            let place = super::secrets::place(&row.tenant, &row.name);
            let value = self.sealer.open(&place, &row.sealed)?;
            let stored = StoredSecret { value, updated_at: row.updated_at };
            self.in_tenant(&row.tenant)?
                .change(|state| state.secrets.insert(row.name.clone(), stored));
        }
        self.load_plugins(all.plugins, before.loaded_plugins()).await?;
        self.load_webhooks(all.webhooks, before).await?;
        for failing in self.store.queue.failing_webhooks().await? {
            let Some(tenant) = self.tenant(&failing.tenant) else { continue };
            if let Some(webhook) = tenant.webhook(failing.id).filter(|_| failing.probed) {
                let failing_since = Some(failing.since);
                tenant.put_webhook(Arc::new(Webhook { failing_since, ..Webhook::clone(&webhook) }));
            }
        }
        for row in &all.sources {
            let spec = read("source", &row.name, &row.spec)?;
            let secret = self.sealer.open(&sources::place(row.id), &row.secret)?;
            let tenant = self.in_tenant(&row.tenant)?;
            let mut source = self
                .compile_source(&tenant, row.id, spec, secret)
                .with_context(|| format!("the source {} can't be used", row.name))?;
            (source.created_at, source.updated_at) = (row.created_at, row.updated_at);
            let bytes = sources::estimated_bytes(&source);
            tenant.change(|state| state.sources.insert(row.id, bytes));
            self.sources.write().insert(row.id, Arc::new(source));
        }
        for key in all.keys {
            self.keys.write().insert(key.hash, Arc::new(key));
        }
        for row in all.facet_values {
            // Learned while its tenant was erased.
            let Some(tenant) = self.tenant(&row.tenant) else { continue };
            let (value, label) = (&row.value, row.label.as_deref());
            tenant.change(|state| state.learn_facet_value(&row.facet, value, label, usize::MAX));
        }
        Ok(())
    }

    fn load_profile(&self, row: &ProfileRow, before: &Registry) -> anyhow::Result<()> {
        let spec = read::<ProfileSpec>("profile", &row.name, &row.spec)?;
        let known = before.profile(&row.name).filter(|known| known.spec == spec);
        let profile = match known {
            Some(known) => known,
            None => Arc::new(
                profiles::compile_profile(spec, &self.config, &self.standard_retry, When::Loaded)
                    .with_context(|| format!("the profile {} can't be used", row.name))?,
            ),
        };
        profile.types.values().for_each(|known| warn_of_refusal(known));
        self.profiles.write().insert(row.name.clone(), profile);
        Ok(())
    }

    fn read_event_type(&self, row: &EventTypeRow, before: &Registry) -> anyhow::Result<()> {
        let spec: EventTypeSpec = read("event type", row.name.as_str(), &row.spec)?;
        let known = match &row.tenant {
            None => before.event_types.read().get(&row.name).cloned(),
            Some(id) => before
                .tenant(id)
                .and_then(|tenant| tenant.read(|state| state.event_types.get(&row.name).cloned())),
        };
        let known = known.filter(|known| known.spec == spec);
        let known = known.unwrap_or_else(|| Arc::new(CatalogType::new(spec, &self.config.intake)));
        warn_of_refusal(&known);
        self.load_event_type(row.tenant.as_ref(), known);
        Ok(())
    }

    fn in_tenant(&self, id: &TenantId) -> anyhow::Result<Arc<Tenant>> {
        self.tenant(id).with_context(|| {
            format!("the database has things of the tenant {id}, but not the tenant")
        })
    }

    /// A file used by several tenants is loaded once.
    async fn load_plugins(
        &self,
        rows: Vec<PluginRow>,
        mut compiled: HashMap<String, Plugin>,
    ) -> anyhow::Result<()> {
        for row in rows {
            let Some(tenant) = &row.tenant else { continue };
            let meta = row.meta;
            if meta.state != PluginState::Ready {
                self.in_tenant(tenant)?.change(|state| {
                    let versions = state.uploads.entry(meta.name.clone()).or_default();
                    versions.insert(meta.version, meta);
                });
                continue;
            }
            let owner = Owner { tenant: tenant.to_string(), plugin: meta.name.to_string() };
            let known =
                compiled.get(&meta.digest).and_then(|plugin| self.host.share(plugin, &owner));
            let plugin = match known {
                Some(plugin) => plugin,
                None => {
                    let plugin = self.load_plugin(&meta, &owner).await.with_context(|| {
                        format!("the plugin {}@{} can't be loaded", meta.name, meta.version)
                    })?;
                    compiled.insert(meta.digest.clone(), plugin.clone());
                    plugin
                }
            };
            self.in_tenant(tenant)?.change(|state| {
                let versions = state.plugins.entry(meta.name.clone()).or_default();
                versions.insert(meta.version, StoredPlugin { meta, plugin });
            });
        }
        Ok(())
    }

    async fn load_plugin(&self, meta: &PluginMeta, owner: &Owner) -> Result<Plugin, UploadError> {
        let schema = meta.config_schema.as_ref().map_or("", antar_json::Document::text);
        let known = Known {
            digest: meta.digest.clone(),
            size_bytes: meta.size_bytes,
            description: meta.description.clone(),
            config_schema: schema.to_owned(),
            inspection: Inspection {
                kind: match meta.kind {
                    PluginKind::Filter => Kind::Filter,
                    PluginKind::Transform => Kind::Transform,
                },
                imports: meta.imports.clone(),
                exports: meta.exports.clone(),
            },
            pool: meta.pool.map(|pool| match pool {
                PluginPool::Small => PoolName::Small,
                PluginPool::Large => PoolName::Large,
            }),
        };
        self.host.load(known, owner).await
    }

    async fn load_webhooks(
        self: &Arc<Self>,
        rows: Vec<WebhookRow>,
        before: &Arc<Registry>,
    ) -> anyhow::Result<()> {
        /// Webhooks that are loaded in one turn.
        const CHUNK: usize = 64;
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let chunk: Vec<_> = rows.by_ref().take(CHUNK).collect();
            let (registry, before) = (self.clone(), before.clone());
            let load =
                move || chunk.into_iter().try_for_each(|row| registry.load_webhook(row, &before));
            self.compiler.run(For::Operator, load).await??;
        }
        Ok(())
    }

    /// Puts a stored webhook into memory. The plan of the same settings in `before` is taken over.
    pub(super) fn load_webhook(&self, row: WebhookRow, before: &Registry) -> anyhow::Result<()> {
        let about = || format!("the webhook {} of {} can't be used", row.name, row.tenant);
        let tenant = self.in_tenant(&row.tenant)?;
        let spec: WebhookSpec = read("webhook", &row.name, &row.spec)?;
        let profile = tenant
            .read(|state| self.profile_of(state, spec.profile.as_deref()))
            .with_context(about)?;
        let known = before.tenant(&row.tenant).and_then(|tenant| tenant.webhook(row.id));
        // Until it is stored, it exists only in the memory of this node.
        let failing_since = tenant.webhook(row.id).and_then(|known| known.failing_since);
        let known =
            known.filter(|known| *known.spec == spec && Arc::ptr_eq(&known.profile, &profile));
        let (spec, plan) = match known {
            Some(known) => (known.spec.clone(), known.plan.clone()),
            None => {
                let around = Surroundings {
                    config: &self.config,
                    policy: &self.policy,
                    profile: &profile,
                    tenant: &tenant,
                    at_save: None,
                };
                let plan = compile(&spec, &around).with_context(about)?;
                (Arc::new(spec), Arc::new(plan))
            }
        };
        let place = super::webhooks::place(row.id);
        let previous = row.secret_before.as_ref().zip(row.secret_before_until);
        let previous = previous
            .map(|(sealed, until)| {
                Ok::<_, anyhow::Error>((self.sealer.open(&place, sealed)?, until))
            })
            .transpose()?;
        tenant.put_webhook(Arc::new(Webhook {
            id: row.id,
            tenant: row.tenant.clone(),
            plan,
            spec,
            revision: row.revision,
            enabled: row.enabled,
            paused: row.paused,
            disabled_reason: row.disabled_reason.clone(),
            failing_since,
            created_at: row.created_at,
            updated_at: row.updated_at,
            profile,
            secret: self.sealer.open(&place, &row.secret)?,
            previous_secret: previous,
        }));
        Ok(())
    }
}

fn read<T: DeserializeOwned>(kind: &str, name: &str, spec: &str) -> anyhow::Result<T> {
    serde_json::from_str(spec).with_context(|| format!("the stored {kind} {name} can't be read"))
}

/// A schema saved under earlier rules must not keep the server from starting.
fn warn_of_refusal(known: &CatalogType) {
    if let Some(reason) = known.refusal() {
        tracing::warn!(%reason, "events of this type are not validated");
    }
}
