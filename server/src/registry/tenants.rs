//! Changes of tenants and of the known values of their facets.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compile::check_plugin;
use super::{ChangeError, Registry, stored};
use crate::model::{DEFAULT_TENANT, FieldError, Invalid, TenantId, TenantSpec};
use crate::pipeline::accept::learn_facets::Learned;
use crate::pipeline::compiled::tenant::Tenant;
use crate::plugin::Place;
use crate::store::{FacetValueRow, TenantRow};

impl Registry {
    /// Creates or updates a tenant; safe to call concurrently. True: it is new.
    pub async fn put_tenant(
        &self,
        id: TenantId,
        spec: TenantSpec,
    ) -> Result<(Arc<Tenant>, bool), ChangeError> {
        let _one = self.changes.lock().await;
        let profile = match &spec.profile {
            None => self.profile(super::STANDARD),
            Some(name) => self.profile(name),
        };
        let profile = profile.ok_or_else(|| {
            let known: Vec<_> = self.profiles.read().keys().cloned().collect();
            Invalid::at(
                "/profile",
                format!("there is no such profile; apply it first (there are {known:?})"),
            )
        })?;
        if spec.weight.is_some_and(|weight| !TenantSpec::WEIGHTS.contains(&weight)) {
            return Err(Invalid::at("/weight", "is from 1 to 100").into());
        }
        let known = self.tenant(&id);
        check_intake_plugins(known.as_deref(), &spec, self.config.tenant.plugins_per_webhook_max)?;
        if let Some(tenant) = &known {
            let uses = spec.intake_plugins.iter().map(|used| (used.plugin.as_str(), &used.config));
            let at = ("/intake_plugins", Place::Intake);
            self.ask_plugins(tenant, |_| true, uses, at).await?;
        }
        let default =
            |webhook: &crate::pipeline::compiled::webhook::Webhook| webhook.spec.profile.is_none();
        let webhooks = match &known {
            Some(tenant) => self.recompiled(tenant, default, &profile)?,
            None => Vec::new(),
        };
        let now = self.now();
        let row =
            TenantRow { id: id.clone(), spec: stored(&spec)?, created_at: now, updated_at: now };
        self.store.configuration.put_tenant(row).await?;
        let Some(tenant) = known else {
            let tenant = Arc::new(Tenant::new(id.clone(), spec, now, profile));
            self.tenants.write().insert(id, tenant.clone());
            return Ok((tenant, true));
        };
        tenant.change(|state| {
            state.spec = spec;
            state.profile = profile.clone();
            webhooks.into_iter().for_each(|webhook| state.put_webhook(webhook));
        });
        for source in self.sources.write().values_mut() {
            if source.tenant == id && source.spec.profile.is_none() {
                *source = Arc::new(source.with_profile(profile.clone()));
            }
        }
        Ok((tenant, false))
    }

    /// Erases a tenant and all its data.
    pub async fn delete_tenant(&self, id: &TenantId) -> Result<(), ChangeError> {
        let _one = self.changes.lock().await;
        if id.as_str() == DEFAULT_TENANT {
            return Err(ChangeError::Conflict(
                "the tenant `default` always exists; delete its things instead".to_owned(),
            ));
        }
        // Removed from memory first, so that nothing new is created while the database is cleared. Only the
        // database decides whether the tenant exists: an interrupted erasure can be repeated.
        self.tenants.write().remove(id);
        self.sources.write().retain(|_, source| source.tenant != *id);
        self.keys.write().retain(|_, key| key.tenant.as_ref() != Some(id));
        self.store.configuration.delete_tenant(id).await.map_err(ChangeError::of("tenant"))
    }

    /// Stores facet values learned from events. Losing one does no harm: the next event brings it again.
    pub async fn learn_facet_values(&self, tenant: &Tenant, learned: Vec<Learned>) {
        if learned.is_empty() {
            return;
        }
        let (updated_at, max) = (self.now(), self.config.tenant.facet_values_max);
        // The events of one request are looked at before any of their values is known.
        let rows = tenant.change(|state| {
            let mut rows = Vec::new();
            for Learned { facet, value, label } in learned {
                let values = state.facet_values.entry(facet.clone()).or_default();
                if values.len() < max && !values.contains_key(&value) {
                    values.insert(value.clone(), label.clone());
                    rows.push(FacetValueRow {
                        tenant: tenant.id.clone(),
                        facet,
                        value,
                        label,
                        updated_at,
                    });
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
        &self,
        tenant: &Arc<Tenant>,
        facet: &str,
        values: BTreeMap<String, Option<String>>,
    ) -> Result<(), ChangeError> {
        let _one = self.change_in(tenant).await?;
        let now = self.now();
        let rows = values.iter().map(|(value, label)| FacetValueRow {
            tenant: tenant.id.clone(),
            facet: facet.to_owned(),
            value: value.clone(),
            label: label.clone(),
            updated_at: now,
        });
        self.store.configuration.put_facet_values(&tenant.id, facet, rows.collect()).await?;
        tenant.change(|state| state.facet_values.insert(facet.to_owned(), values));
        Ok(())
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
            Some(tenant) => tenant.read(|state| check_plugin(state, &used.plugin, &used.config)),
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
