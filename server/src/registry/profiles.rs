//! Changes of profiles. The webhooks that use one are compiled anew, tenant by tenant: first all of them, to
//! see that they still work, then the profile is stored, then each tenant takes its new webhooks over.
//! Tenants change their own settings meanwhile, and events are sent with the old ones until then.

use std::collections::HashMap;
use std::sync::Arc;

use super::compile::{Surroundings, compile};
use super::headers::{When, check_not_own, check_signed_headers, profile_headers};
use super::turns::compile_pool::For;
use super::{ChangeError, ROUNDS_MAX, Registry, STANDARD, stored, to_its_end};
use crate::config::Config;
use crate::model::{Invalid, ProfileSpec, Retry, TenantId, WebhookId};
use crate::pipeline::accept::compile_source::check_methods;
use crate::pipeline::compiled::profile::{CatalogType, Profile};
use crate::pipeline::compiled::tenant::{Tenant, TenantState};
use crate::pipeline::compiled::webhook::{Plan, Webhook};
use crate::store::ProfileRow;

/// Plans made for a profile that is not in use yet, each with the plan that it replaces.
pub(super) type NewPlans = HashMap<WebhookId, (Arc<Plan>, Arc<Plan>)>;

/// Webhooks that are compiled in one turn of their tenant.
const CHUNK: usize = 64;

/// Checks and compiles a profile. `standard_retry` fills in retry settings that the profile leaves out.
pub(super) fn compile_profile(
    spec: ProfileSpec,
    config: &Config,
    standard_retry: &Retry,
    when: When,
) -> Result<Profile, Invalid> {
    let name_ok = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if spec.name.is_empty() || spec.name.len() > 64 || !spec.name.chars().all(name_ok) {
        return Err(Invalid::at("/name", "has 1 to 64 of A-Z a-z 0-9 _ -"));
    }
    if spec.payload.is_empty() {
        return Err(Invalid::at("/payload", "has at least one entry, such as {rest: data}"));
    }
    if let Some((pointer, detail)) = spec.retry.errors().into_iter().next()
        && when == When::Saved
    {
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
    let methods = spec.incoming.as_ref().and_then(|incoming| incoming.methods.as_deref());
    if let Some(detail) = methods.and_then(check_methods)
        && when == When::Saved
    {
        return Err(Invalid::at("/incoming/methods", detail));
    }
    if when == When::Saved {
        check_signed_headers(&spec.signers)?;
    }
    let headers = profile_headers("/headers", &spec.headers, config, when)?;
    let test_headers = profile_headers("/test_headers", &spec.test_headers, config, when)?;
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
        let Some(name) = name else {
            // By name, because a profile is replaced in one tenant after the other.
            let name = tenant.spec.profile.as_deref().unwrap_or(STANDARD);
            return Ok(self.profile(name).unwrap_or_else(|| tenant.profile.clone()));
        };
        self.profile(name).ok_or_else(|| self.no_profile(name))
    }

    pub(super) fn no_profile(&self, name: &str) -> Invalid {
        let known: Vec<_> = self.profiles.read().keys().cloned().collect();
        let detail = format!("there is no profile `{name}`; apply it first (there are {known:?})");
        Invalid::at("/profile", detail)
    }

    /// Creates or replaces a profile. Webhooks that use it are recompiled; if one of them would no longer
    /// work, nothing is changed.
    pub async fn put_profile(
        self: &Arc<Self>,
        spec: ProfileSpec,
    ) -> Result<(Arc<Profile>, bool), ChangeError> {
        let registry = self.clone();
        to_its_end(async move { registry.replace_profile(spec).await }).await
    }

    async fn replace_profile(
        self: &Arc<Self>,
        spec: ProfileSpec,
    ) -> Result<(Arc<Profile>, bool), ChangeError> {
        let _one = self.operator.lock().await;
        if spec.name == STANDARD {
            return Err(ChangeError::Conflict(
                "`standard` is built in; give yours another name".to_owned(),
            ));
        }
        let registry = self.clone();
        let compile =
            move || compile_profile(spec, &registry.config, &registry.standard_retry, When::Saved);
        let profile = Arc::new(self.compiler.run(For::Operator, compile).await??);
        for (number, event_type) in profile.spec.event_types.iter().enumerate() {
            let known = profile.types.get(&event_type.name);
            if let Some(detail) = known.and_then(|known| known.refusal()) {
                return Err(Invalid::at(format!("/event_types/{number}/schema"), detail).into());
            }
        }
        for (field, headers) in
            [("headers", &profile.spec.headers), ("test_headers", &profile.spec.test_headers)]
        {
            let own = |name| check_not_own(format!("/{field}/{name}"), name);
            let errors: Vec<_> = headers.keys().filter_map(|name| own(name.as_str())).collect();
            if !errors.is_empty() {
                return Err(Invalid { code: "invalid", errors }.into());
            }
        }
        self.check_incoming(&profile)?;
        let name = profile.spec.name.clone();
        let now = self.now();
        let row = ProfileRow {
            name: name.clone(),
            spec: stored(&profile.spec)?,
            created_at: now,
            updated_at: now,
        };
        let mut plans = HashMap::new();
        self.compile_everywhere(&profile, For::Operator, &mut plans).await?;
        let mut rounds = 1;
        let alone = loop {
            // No tenant stores anything from here to the swap.
            let alone = self.profile_uses.write().await;
            if self.is_planned_everywhere(&name, &plans) {
                break alone;
            }
            if rounds == ROUNDS_MAX {
                self.compile_everywhere(&profile, For::All, &mut plans).await?;
                break alone;
            }
            drop(alone);
            rounds += 1;
            self.compile_everywhere(&profile, For::Operator, &mut plans).await?;
        };
        self.store.configuration.put_profile(row).await?;
        let created = self.profiles.write().insert(name, profile.clone()).is_none();
        drop(alone);
        for tenant in self.tenants() {
            let plans = plans.remove(&tenant.id).unwrap_or_default();
            self.take_profile(&tenant, &profile, plans).await;
        }
        Ok((profile, created))
    }

    /// Compiles the webhooks of all tenants that use a profile of this name, as far as that is not done yet.
    async fn compile_everywhere(
        self: &Arc<Self>,
        profile: &Arc<Profile>,
        whom: For<'_>,
        plans: &mut HashMap<TenantId, NewPlans>,
    ) -> Result<(), ChangeError> {
        let uses = |webhook: &Webhook| webhook.profile.spec.name == profile.spec.name;
        for tenant in self.tenants() {
            let plans = plans.entry(tenant.id.clone()).or_default();
            self.compile_for(&tenant, uses, profile, (whom, plans)).await?;
        }
        Ok(())
    }

    fn is_planned_everywhere(&self, name: &str, plans: &HashMap<TenantId, NewPlans>) -> bool {
        let none = NewPlans::new();
        self.tenants().into_iter().all(|tenant| {
            let plans = plans.get(&tenant.id).unwrap_or(&none);
            tenant.read(|state| {
                let mut using = state.webhooks().filter(|w| w.profile.spec.name == name);
                using.all(|webhook| is_planned(plans, webhook))
            })
        })
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

    /// Compiles the webhooks of a tenant for which `uses` holds against a profile, without the tenant's turn.
    /// Those whose new plan is among `plans` already are left out.
    pub(super) async fn compile_for(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        uses: impl Fn(&Webhook) -> bool + Send,
        profile: &Arc<Profile>,
        (whom, plans): (For<'_>, &mut NewPlans),
    ) -> Result<(), ChangeError> {
        let using: Vec<Arc<Webhook>> = tenant.read(|state| {
            let using = state.webhooks().filter(|w| uses(w) && !is_planned(plans, w));
            using.cloned().collect()
        });
        for chunk in using.chunks(CHUNK) {
            let (registry, of, chunk) = (self.clone(), tenant.clone(), chunk.to_vec());
            let profile = profile.clone();
            let compile = move || registry.compile_against(&of, &chunk, &profile);
            plans.extend(self.compiler.run(whom, compile).await??);
        }
        Ok(())
    }

    fn compile_against(
        &self,
        tenant: &Tenant,
        webhooks: &[Arc<Webhook>],
        profile: &Profile,
    ) -> Result<NewPlans, ChangeError> {
        let compiled = |webhook: &Arc<Webhook>| {
            let around = Surroundings {
                config: &self.config,
                policy: &self.policy,
                profile,
                tenant,
                at_save: None,
            };
            let plan = compile(&webhook.spec, &around).map_err(|invalid| {
                ChangeError::Conflict(format!(
                    "the webhook `{}` of `{}` uses this profile and would not work any more: {invalid}",
                    webhook.spec.name, webhook.tenant
                ))
            })?;
            Ok((webhook.id, (webhook.plan.clone(), Arc::new(plan))))
        };
        webhooks.iter().map(compiled).collect()
    }

    /// Lets a tenant take over a profile that has been swapped in, with the webhooks compiled for it.
    async fn take_profile(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        profile: &Arc<Profile>,
        mut plans: NewPlans,
    ) {
        let name = &profile.spec.name;
        let _turn = self.turns.of(&tenant.id).await;
        if !self.tenant_stands(tenant) {
            return;
        }
        let outdated = |webhook: &Webhook| {
            webhook.profile.spec.name == *name && !Arc::ptr_eq(&webhook.profile, profile)
        };
        // Usually there are none left: only what was read from the database meanwhile.
        let whom = For::Operator;
        if let Err(error) = self.compile_for(tenant, outdated, profile, (whom, &mut plans)).await {
            tracing::error!(%error, tenant = %tenant.id, "a webhook can't take its profile over");
        }
        tenant.change(|state| {
            if state.spec.profile.as_deref() == Some(name) {
                state.profile = profile.clone();
            }
        });
        let all: Vec<_> =
            tenant.read(|state| state.webhooks().filter(|w| outdated(w)).cloned().collect());
        swap_plans(tenant, &all, profile, &plans);
        for source in self.sources.write().values_mut() {
            if source.tenant == tenant.id && source.profile.spec.name == *name {
                *source = Arc::new(source.with_profile(profile.clone()));
            }
        }
    }

    /// Deletes a profile that is not in use.
    pub async fn delete_profile(self: &Arc<Self>, name: &str) -> Result<(), ChangeError> {
        let (registry, name) = (self.clone(), name.to_owned());
        to_its_end(async move { registry.remove_profile(&name).await }).await
    }

    async fn remove_profile(&self, name: &str) -> Result<(), ChangeError> {
        let _one = self.operator.lock().await;
        // No tenant stores anything that names it while it goes.
        let _alone = self.profile_uses.write().await;
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
}

/// Whether the webhook's current plan has a successor among the new ones.
pub(super) fn is_planned(plans: &NewPlans, webhook: &Webhook) -> bool {
    plans.get(&webhook.id).is_some_and(|(before, _)| Arc::ptr_eq(before, &webhook.plan))
}

/// Swaps in the new plans of those webhooks that still have the plan that it was made for. Each webhook is
/// swapped by itself, so that readers never wait for all of them.
pub(super) fn swap_plans(
    tenant: &Tenant,
    webhooks: &[Arc<Webhook>],
    profile: &Arc<Profile>,
    plans: &NewPlans,
) {
    for webhook in webhooks.iter().filter(|webhook| is_planned(plans, webhook)) {
        let Some((_, plan)) = plans.get(&webhook.id) else { continue };
        let (plan, profile) = (plan.clone(), profile.clone());
        tenant.put_webhook(Arc::new(Webhook { plan, profile, ..Webhook::clone(webhook) }));
    }
}
