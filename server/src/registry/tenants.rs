//! Changes of tenants and of the known values of their facets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compile::check_plugin;
use super::profiles::{NewPlans, is_planned, swap_plans};
use super::rights::By;
use super::turns::compile_pool::For;
use super::{ChangeError, ROUNDS_MAX, Registry, STANDARD, never_settled, stored, to_its_end};
use crate::model::{DEFAULT_TENANT, FieldError, Invalid, SecretName, TenantId, TenantSpec};
use crate::pipeline::accept::learn_facets::Learned;
use crate::pipeline::attempt::transform::secrets_of;
use crate::pipeline::compiled::profile::Profile;
use crate::pipeline::compiled::tenant::{FacetValues, Tenant, TenantState, facet_bytes};
use crate::pipeline::compiled::webhook::Webhook;
use crate::plugin::Place;
use crate::store::{FacetValueRow, TenantRow};

/// Marks a tenant whose data is being deleted, until it is dropped.
struct Erasing {
    registry: Arc<Registry>,
    id: TenantId,
}

impl Drop for Erasing {
    fn drop(&mut self) {
        self.registry.erasing.lock().remove(&self.id);
    }
}

/// New settings of a tenant that passed all checks, and what they were checked with.
struct Checked {
    spec: TenantSpec,
    /// The settings whose operator's members these keep.
    kept_of: Option<TenantSpec>,
    /// None: the tenant is new.
    tenant: Option<Arc<Tenant>>,
    profile: Arc<Profile>,
    /// Version and digest of each plugin at intake.
    plugins: Vec<Option<(u32, String)>>,
    /// Of the webhooks that use the tenant's profile, if that changes.
    plans: NewPlans,
}

impl Registry {
    /// Creates or updates a tenant; safe to call concurrently. True: it is new.
    pub async fn put_tenant(
        self: &Arc<Self>,
        id: TenantId,
        spec: TenantSpec,
        by: By,
    ) -> Result<(Arc<Tenant>, bool), ChangeError> {
        if spec.weight.is_some_and(|weight| !TenantSpec::WEIGHTS.contains(&weight)) {
            return Err(Invalid::at("/weight", "is from 1 to 100").into());
        }
        let mut plans = NewPlans::new();
        for _ in 0..ROUNDS_MAX {
            self.check_not_erasing(&id)?;
            let (spec, kept_of) = match by {
                By::Operator => (spec.clone(), None),
                By::Tenant => self.with_operators_word(&id, spec.clone())?,
            };
            let checked = self.check_tenant(&id, (spec, kept_of), plans).await?;
            let (registry, id) = (self.clone(), id.clone());
            match to_its_end(async move { registry.take_settings(id, checked).await }).await? {
                Taken::Yes(tenant, created) => return Ok((tenant, created)),
                Taken::No(made) => plans = made,
            }
        }
        Err(never_settled())
    }

    /// Checks new settings, and compiles what they touch: only another profile touches webhooks. `plans` are
    /// those of an earlier round.
    async fn check_tenant(
        self: &Arc<Self>,
        id: &TenantId,
        (spec, kept_of): (TenantSpec, Option<TenantSpec>),
        mut plans: NewPlans,
    ) -> Result<Checked, ChangeError> {
        let name = spec.profile.as_deref().unwrap_or(STANDARD);
        let profile = self.profile(name).ok_or_else(|| self.no_profile(name))?;
        let tenant = self.tenant(id);
        let before = tenant.as_ref().map(|tenant| tenant.read(|state| state.spec.clone()));
        let text_before = before.as_ref().map(stored).transpose()?;
        self.check_settings(&stored(&spec)?, text_before.as_deref())?;
        let plugins = tenant.as_ref().map(|tenant| tenant.read(|state| versions(state, &spec)));
        if before.is_none_or(|before| before.intake_plugins != spec.intake_plugins) {
            self.check_intake(tenant.as_ref(), &spec).await?;
        }
        if let Some(tenant) = &tenant {
            let uses = |webhook: &Webhook| is_outdated(webhook, &profile);
            let whom = For::Tenant(id);
            self.compile_for(tenant, uses, &profile, (whom, &mut plans)).await?;
        }
        let plugins = plugins.unwrap_or_default();
        Ok(Checked { spec, kept_of, tenant, profile, plugins, plans })
    }

    async fn check_intake(
        self: &Arc<Self>,
        tenant: Option<&Arc<Tenant>>,
        spec: &TenantSpec,
    ) -> Result<(), ChangeError> {
        let max = self.config.tenant.plugins_per_webhook_max;
        let Some(tenant) = tenant else { return Ok(check_intake_plugins(None, spec, max)?) };
        let (of, named) = (tenant.clone(), spec.clone());
        let check = move || check_intake_plugins(Some(&of), &named, max);
        self.compiler.run(For::Tenant(&tenant.id), check).await??;
        let uses = spec.intake_plugins.iter().map(|used| (used.plugin.as_str(), &used.config));
        Ok(self.ask_plugins(tenant, |_| true, uses, ("/intake_plugins", Place::Intake)).await?)
    }

    /// Stores the settings and swaps them in, unless what they were checked with has changed.
    async fn take_settings(&self, id: TenantId, checked: Checked) -> Result<Taken, ChangeError> {
        let turn = self.turns.of_few(&id, self.config.tenant.changes_waiting_max).await?;
        let _change = self.change_with(turn).await;
        self.check_not_erasing(&id)?;
        if !self.is_still_true(&id, &checked) {
            return Ok(Taken::No(checked.plans));
        }
        let Checked { spec, tenant, profile, plans, .. } = checked;
        let now = self.now();
        let row =
            TenantRow { id: id.clone(), spec: stored(&spec)?, created_at: now, updated_at: now };
        self.store.configuration.put_tenant(row).await?;
        let Some(tenant) = tenant else {
            let tenant = Arc::new(Tenant::new(id.clone(), spec, now, profile));
            self.tenants.write().insert(id, tenant.clone());
            return Ok(Taken::Yes(tenant, true));
        };
        let same = tenant.change(|state| {
            state.spec = spec;
            let before = std::mem::replace(&mut state.profile, profile.clone());
            Arc::ptr_eq(&before, &profile)
        });
        if !same {
            let using: Vec<_> = tenant.read(|state| {
                state.webhooks().filter(|w| is_outdated(w, &profile)).cloned().collect()
            });
            swap_plans(&tenant, &using, &profile, &plans);
            for source in self.sources.write().values_mut() {
                if source.tenant == id && source.spec.profile.is_none() {
                    *source = Arc::new(source.with_profile(profile.clone()));
                }
            }
        }
        Ok(Taken::Yes(tenant, false))
    }

    fn is_still_true(&self, id: &TenantId, checked: &Checked) -> bool {
        let Checked { spec, kept_of, tenant, profile, plugins, plans } = checked;
        let name = spec.profile.as_deref().unwrap_or(STANDARD);
        let same_profile = self.profile(name).is_some_and(|now| Arc::ptr_eq(&now, profile));
        let Some(tenant) = tenant else { return same_profile && self.tenant(id).is_none() };
        let configs = spec.intake_plugins.iter().map(|used| used.config.root());
        let named: Vec<SecretName> =
            configs.flat_map(secrets_of).filter_map(|name| name.parse().ok()).collect();
        same_profile
            && self.tenant_stands(tenant)
            && tenant.read(|state| {
                let mut using = state.webhooks().filter(|w| is_outdated(w, profile));
                kept_of.as_ref().is_none_or(|known| *known == state.spec)
                    && (state.spec.intake_plugins == spec.intake_plugins
                        || versions(state, spec) == *plugins
                            && named.iter().all(|name| state.secrets.contains_key(name)))
                    && using.all(|webhook| is_planned(plans, webhook))
            })
    }

    /// Erases a tenant and all its data.
    pub async fn delete_tenant(self: &Arc<Self>, id: &TenantId) -> Result<(), ChangeError> {
        if id.as_str() == DEFAULT_TENANT {
            return Err(ChangeError::Conflict(
                "the tenant `default` always exists; delete its things instead".to_owned(),
            ));
        }
        let (registry, id) = (self.clone(), id.clone());
        to_its_end(async move { registry.erase(id).await }).await
    }

    async fn erase(self: &Arc<Self>, id: TenantId) -> Result<(), ChangeError> {
        let turn = self.turns.of(&id).await;
        if !self.erasing.lock().insert(id.clone()) {
            return Err(ChangeError::Conflict("the tenant is being erased already".to_owned()));
        }
        let erasing = Erasing { registry: self.clone(), id };
        let id = &erasing.id;
        // Removed from memory first, so that nothing new is created while the database is cleared. Only the
        // database decides whether the tenant exists: an interrupted erasure can be repeated.
        let former = {
            let _none_are_read = self.key_changes.read().await;
            self.keys.write().retain(|_, key| key.tenant.as_ref() != Some(id));
            self.sources.write().retain(|_, source| source.tenant != *id);
            self.tenants.write().remove(id)
        };
        self.rights_changed();
        // Erasing much takes long. Meanwhile other nodes may tell something about this tenant.
        drop(turn);
        if let Some(former) = former {
            until_unused(&former).await;
        }
        self.store.configuration.delete_tenant(id).await.map_err(ChangeError::of("tenant"))
    }

    fn check_not_erasing(&self, id: &TenantId) -> Result<(), ChangeError> {
        if self.erasing.lock().contains(id) {
            let why = "a tenant of this id is being erased; create it when that has ended";
            return Err(ChangeError::Conflict(why.to_owned()));
        }
        Ok(())
    }

    /// Stores facet values learned from events. Losing one does no harm: the next event brings it again.
    pub async fn learn_facet_values(&self, tenant: &Arc<Tenant>, learned: Vec<Learned>) {
        // Nothing is left behind for whoever has the id next.
        if learned.is_empty() || !self.tenant_stands(tenant) {
            return;
        }
        let (updated_at, config) = (self.now(), &self.config.tenant);
        let (max, bytes_max) = (config.facet_values_max, config.facet_value_bytes_max);
        // The events of one request are looked at before any of their values is known.
        let rows = tenant.change(|state| {
            let mut rows = Vec::new();
            if state.bytes() > config.configuration_bytes_max {
                return rows;
            }
            for Learned { facet, value, label } in learned {
                // A label that is too long is no help in choosing a value.
                let label = label.filter(|label| label.len() <= bytes_max);
                if state.learn_facet_value(&facet, &value, label.as_deref(), max) {
                    let tenant = tenant.id.clone();
                    rows.push(FacetValueRow { tenant, facet, value, label, updated_at });
                }
            }
            rows
        });
        if let Err(error) = self.store.configuration.add_facet_values(rows).await {
            tracing::warn!(%error, "learned facet values could not be stored");
        }
    }

    /// Replaces the known values of a facet with those supplied by the host.
    pub async fn put_facet_values(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        facet: &str,
        values: FacetValues,
    ) -> Result<(), ChangeError> {
        self.check_facet_values(&values)?;
        let (registry, tenant, facet) = (self.clone(), tenant.clone(), facet.to_owned());
        to_its_end(async move {
            let _change = registry.change_in(&tenant).await?;
            let after = facet_bytes(&values);
            tenant.read(|state| {
                let before = state.facet_values.get(&facet).map_or(0, facet_bytes);
                registry.check_bytes(state, before, after)
            })?;
            let now = registry.now();
            let rows = values.iter().map(|(value, label)| FacetValueRow {
                tenant: tenant.id.clone(),
                facet: facet.clone(),
                value: value.clone(),
                label: label.clone(),
                updated_at: now,
            });
            let rows = rows.collect();
            registry.store.configuration.put_facet_values(&tenant.id, &facet, rows).await?;
            tenant.change(|state| state.put_facet_values(&facet, values));
            Ok(())
        })
        .await
    }

    fn check_facet_values(&self, values: &FacetValues) -> Result<(), Invalid> {
        let max = self.config.tenant.facet_value_bytes_max;
        let labels = values.values().flatten();
        if values.keys().chain(labels).all(|text| text.len() <= max) {
            return Ok(());
        }
        let detail =
            format!("a value or label has {max} bytes at most (tenant.facet_value_bytes_max)");
        Err(Invalid::at("/values", detail))
    }
}

enum Taken {
    /// True: the tenant is new.
    Yes(Arc<Tenant>, bool),
    /// Something changed meanwhile. The plans are good for the next round.
    No(NewPlans),
}

/// Whether a webhook uses its tenant's profile, and that is not `profile`.
fn is_outdated(webhook: &Webhook, profile: &Arc<Profile>) -> bool {
    webhook.spec.profile.is_none() && !Arc::ptr_eq(&webhook.profile, profile)
}

/// Version and digest of each plugin at intake; none where there is no such plugin.
fn versions(state: &TenantState, spec: &TenantSpec) -> Vec<Option<(u32, String)>> {
    spec.intake_plugins.iter().map(|used| state.plugin_version(&used.plugin)).collect()
}

/// Waits for the requests and attempts that still use a deleted tenant, so that none writes anything after the
/// erasure. One that takes longer leaves no more than what the next tenant of this id begins without.
async fn until_unused(tenant: &Arc<Tenant>) {
    const LONGEST: Duration = Duration::from_secs(3);
    const PAUSE: Duration = Duration::from_millis(5);
    let began = Instant::now();
    while Arc::strong_count(tenant) > 1 && began.elapsed() < LONGEST {
        tokio::time::sleep(PAUSE).await;
    }
}

fn check_intake_plugins(
    tenant: Option<&Tenant>,
    spec: &TenantSpec,
    plugins_max: usize,
) -> Result<(), Invalid> {
    if spec.intake_plugins.len() > plugins_max {
        let detail = format!("has {plugins_max} entries at most (tenant.plugins_per_webhook_max)");
        return Err(Invalid::at("/intake_plugins", detail));
    }
    let errors = spec.intake_plugins.iter().enumerate().flat_map(|(number, used)| {
        let found = match tenant {
            Some(tenant) => check_plugin(tenant, &used.plugin, &used.config),
            None => vec![FieldError::new(
                "/plugin",
                "create the tenant first, then upload the plugin, then name it here",
            )],
        };
        found.into_iter().map(move |error| FieldError {
            pointer: format!("/intake_plugins/{number}{}", error.pointer),
            ..error
        })
    });
    let errors: Vec<_> = errors.collect();
    if errors.is_empty() { Ok(()) } else { Err(Invalid { code: "invalid", errors }) }
}
