//! Changes of profiles and event types.

use std::collections::HashMap;
use std::sync::Arc;

use super::compile::{Surroundings, compile};
use super::headers::profile_headers;
use super::{ChangeError, Registry, STANDARD, stored};
use crate::config::Config;
use crate::model::{EventType, EventTypeSpec, Invalid, ProfileSpec, Retry, TenantId};
use crate::pipeline::compiled::profile::{CatalogType, Profile};
use crate::pipeline::compiled::tenant::{Tenant, TenantState};
use crate::pipeline::compiled::webhook::Webhook;
use crate::store::{EventTypeRow, ProfileRow};

/// Checks and compiles a profile. `standard_retry` fills in retry settings that the profile leaves out.
pub(super) fn compile_profile(
    spec: ProfileSpec,
    config: &Config,
    standard_retry: &Retry,
) -> Result<Profile, Invalid> {
    let name_ok = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if spec.name.is_empty() || spec.name.len() > 64 || !spec.name.chars().all(name_ok) {
        return Err(Invalid::at("/name", "has 1 to 64 of A-Z a-z 0-9 _ -"));
    }
    if spec.payload.is_empty() {
        return Err(Invalid::at("/payload", "has at least one entry, such as {rest: data}"));
    }
    if let Some((pointer, detail)) = spec.retry.errors().into_iter().next() {
        return Err(Invalid::at(format!("/retry{pointer}"), detail));
    }
    if spec.timeout_ms.is_some_and(|ms| ms == 0 || ms > config.delivery.timeout_ms_max) {
        let max = config.delivery.timeout_ms_max;
        return Err(Invalid::at(
            "/timeout_ms",
            format!("is from 1 to {max} (delivery.timeout_ms_max)"),
        ));
    }
    if spec.incoming.as_ref().is_some_and(|incoming| !(200..600).contains(&incoming.status)) {
        return Err(Invalid::at("/incoming/status", "is an HTTP status from 200 to 599"));
    }
    if let Some(path) = spec.incoming.as_ref().and_then(|incoming| incoming.path.as_ref()) {
        let once = |place: &str| path.split('/').filter(|segment| *segment == place).count() == 1;
        if !path.starts_with('/') || !once("{source}") || !once("{secret}") {
            return Err(Invalid::at(
                "/incoming/path",
                "begins with / and has {source} and {secret} as segments, once each",
            ));
        }
        if ["/v1/", "/in/", "/docs", "/healthz", "/readyz", "/metrics", "/openapi.json"]
            .iter()
            .any(|own| path.starts_with(own))
        {
            return Err(Invalid::at(
                "/incoming/path",
                "is one of the server's own paths; choose another",
            ));
        }
    }
    let headers = profile_headers("/headers", &spec.headers, config)?;
    let test_headers = profile_headers("/test_headers", &spec.test_headers, config)?;
    let mut types = HashMap::with_capacity(spec.event_types.len());
    for (number, event_type) in spec.event_types.iter().enumerate() {
        let known = CatalogType::new(event_type.clone(), &config.intake);
        if types.insert(event_type.name.clone(), Arc::new(known)).is_some() {
            return Err(Invalid::at(format!("/event_types/{number}/name"), "occurs twice"));
        }
    }
    let retry = spec.retry.over(standard_retry);
    Ok(Profile { spec, types, headers, test_headers, retry })
}

impl Registry {
    /// The profile that a webhook or source uses: its own, otherwise the tenant's.
    pub(super) fn profile_of(
        &self,
        tenant: &TenantState,
        name: Option<&str>,
    ) -> Result<Arc<Profile>, Invalid> {
        let Some(name) = name else { return Ok(tenant.profile.clone()) };
        self.profile(name).ok_or_else(|| {
            let known: Vec<_> = self.profiles.read().keys().cloned().collect();
            Invalid::at(
                "/profile",
                format!("there is no profile `{name}`; apply it first (there are {known:?})"),
            )
        })
    }

    /// Creates or replaces a profile. Webhooks that use it are recompiled; if one of them would no longer
    /// work, nothing is changed.
    pub async fn put_profile(
        &self,
        spec: ProfileSpec,
    ) -> Result<(Arc<Profile>, bool), ChangeError> {
        let _one = self.changes.lock().await;
        if spec.name == STANDARD {
            return Err(ChangeError::Conflict(
                "`standard` is built in; give yours another name".to_owned(),
            ));
        }
        let profile = Arc::new(compile_profile(spec, &self.config, &self.standard_retry)?);
        for (number, event_type) in profile.spec.event_types.iter().enumerate() {
            let known = profile.types.get(&event_type.name);
            if let Some(detail) = known.and_then(|known| known.refusal()) {
                return Err(Invalid::at(format!("/event_types/{number}/schema"), detail).into());
            }
        }
        self.check_incoming(&profile)?;
        let name = profile.spec.name.clone();
        let changed = self.with_profile(&name, &profile)?;
        let now = self.now();
        let row = ProfileRow {
            name: name.clone(),
            spec: stored(&profile.spec)?,
            created_at: now,
            updated_at: now,
        };
        self.store.configuration.put_profile(row).await?;
        let created = self.profiles.write().insert(name.clone(), profile.clone()).is_none();
        for (tenant, webhooks) in changed {
            tenant.change(|state| {
                if state.spec.profile.as_deref() == Some(name.as_str()) {
                    state.profile = profile.clone();
                }
                webhooks.into_iter().for_each(|webhook| state.put_webhook(webhook));
            });
        }
        for source in self.sources.write().values_mut() {
            if source.profile.spec.name == name {
                *source = Arc::new(source.with_profile(profile.clone()));
            }
        }
        Ok((profile, created))
    }

    fn check_incoming(&self, profile: &Profile) -> Result<(), Invalid> {
        let path_of = |profile: &Profile| {
            profile.spec.incoming.as_ref().and_then(|incoming| incoming.path.clone())
        };
        let Some(path) = path_of(profile) else { return Ok(()) };
        let profiles = self.profiles.read();
        let mut others = profiles.values().filter(|other| other.spec.name != profile.spec.name);
        match others.find(|other| path_of(other).as_ref() == Some(&path)) {
            None => Ok(()),
            Some(other) => Err(Invalid::at(
                "/incoming/path",
                format!("the profile `{}` claims this path", other.spec.name),
            )),
        }
    }

    /// The webhooks of `tenant` for which `uses` holds, compiled against a profile that is about to change.
    pub(super) fn recompiled(
        &self,
        tenant: &Tenant,
        uses: impl Fn(&Webhook) -> bool,
        profile: &Arc<Profile>,
    ) -> Result<Vec<Arc<Webhook>>, ChangeError> {
        tenant.read(|state| {
            let using = state.webhooks().filter(|webhook| uses(webhook));
            using
                .map(|webhook| {
                    let around = Surroundings { config: &self.config, policy: &self.policy, profile, tenant: state, at_save: None };
                    let plan = compile(&webhook.spec, &around).map_err(|invalid| {
                        ChangeError::Conflict(format!(
                            "the webhook `{}` of `{}` uses this profile and would not work any more: {invalid}",
                            webhook.spec.name, webhook.tenant
                        ))
                    })?;
                    let webhook = Webhook::clone(webhook);
                    Ok(Arc::new(Webhook { plan: Arc::new(plan), profile: profile.clone(), ..webhook }))
                })
                .collect()
        })
    }

    #[expect(clippy::type_complexity, reason = "a list of pairs, used once")]
    fn with_profile(
        &self,
        name: &str,
        profile: &Arc<Profile>,
    ) -> Result<Vec<(Arc<Tenant>, Vec<Arc<Webhook>>)>, ChangeError> {
        let recompiled = |tenant: Arc<Tenant>| {
            let webhooks =
                self.recompiled(&tenant, |webhook| webhook.profile.spec.name == name, profile)?;
            Ok((tenant, webhooks))
        };
        self.tenants().into_iter().map(recompiled).collect()
    }

    /// Deletes a profile that is not in use.
    pub async fn delete_profile(&self, name: &str) -> Result<(), ChangeError> {
        let _one = self.changes.lock().await;
        if name == STANDARD {
            return Err(ChangeError::Conflict("`standard` is built in".to_owned()));
        }
        for tenant in self.tenants() {
            let user = tenant.read(|state| {
                let as_default = state.spec.profile.as_deref() == Some(name);
                let mut webhooks =
                    state.webhooks().filter(|webhook| webhook.profile.spec.name == name);
                let webhook =
                    webhooks.next().map(|webhook| format!("the webhook `{}`", webhook.spec.name));
                webhook.or_else(|| as_default.then(|| "the tenant's default".to_owned()))
            });
            if let Some(user) = user {
                return Err(ChangeError::Conflict(format!(
                    "{user} of `{}` uses this profile",
                    tenant.id
                )));
            }
        }
        if self.sources.read().values().any(|source| source.profile.spec.name == name) {
            return Err(ChangeError::Conflict("a source uses this profile".to_owned()));
        }
        self.store.configuration.delete_profile(name).await.map_err(ChangeError::of("profile"))?;
        self.profiles.write().remove(name);
        Ok(())
    }

    /// Creates or replaces an event type of a tenant, or of the operator.
    pub async fn put_event_type(
        &self,
        tenant: Option<&Arc<Tenant>>,
        spec: EventTypeSpec,
    ) -> Result<(Arc<CatalogType>, bool), ChangeError> {
        let _one = match tenant {
            Some(tenant) => self.change_in(tenant).await?,
            None => self.changes.lock().await,
        };
        let known = Arc::new(CatalogType::new(spec, &self.config.intake));
        if let Some(detail) = known.refusal() {
            return Err(Invalid::at("/schema", detail).into());
        }
        let now = self.now();
        let row = EventTypeRow {
            tenant: tenant.map(|tenant| tenant.id.clone()),
            name: known.spec.name.clone(),
            spec: stored(&known.spec)?,
            created_at: now,
            updated_at: now,
        };
        self.store.configuration.put_event_type(row).await?;
        let created = self.put_catalog_type(tenant.map(|tenant| &tenant.id), known.clone());
        Ok((known, created))
    }

    /// Puts an event type into memory. True: it is new.
    pub(super) fn put_catalog_type(
        &self,
        tenant: Option<&TenantId>,
        known: Arc<CatalogType>,
    ) -> bool {
        let name = known.spec.name.clone();
        match tenant {
            None => self.event_types.write().insert(name, known).is_none(),
            Some(id) => self.tenant(id).is_some_and(|tenant| {
                tenant.change(|state| state.event_types.insert(name, known)).is_none()
            }),
        }
    }

    pub async fn delete_event_type(
        &self,
        tenant: Option<&Arc<Tenant>>,
        name: &EventType,
    ) -> Result<(), ChangeError> {
        let _one = match tenant {
            Some(tenant) => self.change_in(tenant).await?,
            None => self.changes.lock().await,
        };
        let id = tenant.map(|tenant| &tenant.id);
        self.store
            .configuration
            .delete_event_type(id, name)
            .await
            .map_err(ChangeError::of("event type"))?;
        match tenant {
            Some(tenant) => tenant.change(|state| state.event_types.remove(name)),
            None => self.event_types.write().remove(name),
        };
        Ok(())
    }
}
