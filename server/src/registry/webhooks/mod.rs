//! Changes of webhooks: settings and secrets. What does not hold any more when a change gets its tenant's turn
//! is checked again.

pub(super) mod earlier_rules;
mod state;

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::compile::{AtSave, Surroundings, compile};
use super::secrets::named_secrets;
use super::turns::compile_pool::For;
use super::{ChangeError, ROUNDS_MAX, Registry, never_settled, stored, to_its_end};
use crate::model::{
    Invalid, Secret, SecretSpec, Signer, StandardVersion, WebhookId, WebhookSpec, reason,
};
use crate::pipeline::attempt::sign::standard_key;
use crate::pipeline::compiled::tenant::{Tenant, TenantState};
use crate::pipeline::compiled::webhook::{Plan, Webhook, estimated_bytes};
use crate::plugin::Place;
use crate::seal::random;
use crate::store::WebhookRow;

/// The place that a webhook's secret is sealed for.
pub(super) fn place(id: WebhookId) -> String {
    format!("webhook/{id}")
}

/// Settings that passed all checks, compiled, and what they were checked with.
struct Checked {
    webhook: Webhook,
    plugins: Vec<PluginVersion>,
}

/// Version and digest of a plugin that settings name; none: there is no such plugin.
type PluginVersion = Option<(u32, String)>;

fn plugin_versions(state: &TenantState, spec: &WebhookSpec) -> Vec<PluginVersion> {
    spec.plugins.iter().map(|used| state.plugin_version(&used.plugin)).collect()
}

impl Registry {
    pub async fn create_webhook(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        spec: WebhookSpec,
        secret: Option<Secret>,
    ) -> Result<Arc<Webhook>, ChangeError> {
        for _ in 0..ROUNDS_MAX {
            self.check_new_webhook(tenant, &spec)?;
            let mut checked = self.checked(tenant, spec.clone(), None).await?;
            if let Some(secret) = &secret {
                checked.webhook.secret = secret.clone();
            }
            self.check_main_secret(&checked.webhook.plan, &checked.webhook.secret)?;
            let (registry, tenant) = (self.clone(), tenant.clone());
            let stored = to_its_end(async move { registry.insert(&tenant, checked).await });
            if let Some(webhook) = stored.await? {
                return Ok(webhook);
            }
        }
        Err(never_settled())
    }

    fn check_new_webhook(&self, tenant: &Tenant, spec: &WebhookSpec) -> Result<(), ChangeError> {
        tenant.read(|state| {
            if state.is_webhook_name_taken(&spec.name) {
                return Err(ChangeError::NameTaken("webhook"));
            }
            let max = self.config.tenant.webhooks_max;
            Registry::check_count(state.webhooks().len(), "webhooks", ("webhooks_max", max))?;
            self.check_bytes(state, 0, estimated_bytes(spec))
        })
    }

    /// Stores a new webhook. None: what it was checked with has changed.
    async fn insert(
        &self,
        tenant: &Arc<Tenant>,
        checked: Checked,
    ) -> Result<Option<Arc<Webhook>>, ChangeError> {
        let _change = self.change_in(tenant).await?;
        self.check_new_webhook(tenant, &checked.webhook.spec)?;
        if !self.still_holds(tenant, &checked) {
            return Ok(None);
        }
        let row = self.webhook_row(&checked.webhook)?;
        let stored = self.store.configuration.insert_webhook(row).await;
        stored.map_err(ChangeError::of("webhook"))?;
        Ok(Some(swap(tenant, checked.webhook)))
    }

    /// Builds a webhook as it would be saved, with a generated secret; stores nothing.
    pub async fn check_webhook(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        spec: WebhookSpec,
    ) -> Result<Webhook, ChangeError> {
        Ok(self.compiled(tenant, spec, None).await?.webhook)
    }

    /// Checks and compiles settings, without the tenant's turn.
    async fn checked(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        spec: WebhookSpec,
        before: Option<Arc<WebhookSpec>>,
    ) -> Result<Checked, ChangeError> {
        let checked = self.compiled(tenant, spec, before).await?;
        self.ask_plugins_of(tenant, &checked.webhook).await?;
        Ok(checked)
    }

    async fn compiled(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        spec: WebhookSpec,
        before: Option<Arc<WebhookSpec>>,
    ) -> Result<Checked, ChangeError> {
        let text_before = before.as_deref().map(stored).transpose()?;
        self.check_settings(&stored(&spec)?, text_before.as_deref())?;
        let (registry, of) = (self.clone(), tenant.clone());
        let compile = move || registry.compile_webhook(&of, spec, before.as_deref());
        self.compiler.run(For::Tenant(&tenant.id), compile).await?
    }

    fn compile_webhook(
        &self,
        tenant: &Tenant,
        mut spec: WebhookSpec,
        before: Option<&WebhookSpec>,
    ) -> Result<Checked, ChangeError> {
        let (profile, plugins) = tenant.read(|state| {
            let profile = self.profile_of(state, spec.profile.as_deref())?;
            Ok::<_, Invalid>((profile, plugin_versions(state, &spec)))
        })?;
        let known = self.known(tenant, &profile, &spec);
        let around = Surroundings {
            config: &self.config,
            policy: &self.policy,
            profile: &profile,
            tenant,
            at_save: Some(AtSave { known: &known, before }),
        };
        let plan = compile(&spec, &around)?;
        let now = self.now();
        let enabled = spec.enabled.take().unwrap_or(!profile.spec.created_disabled);
        let webhook = Webhook {
            id: WebhookId::new(now),
            tenant: tenant.id.clone(),
            spec: Arc::new(spec),
            revision: 1,
            enabled,
            paused: false,
            disabled_reason: None,
            failing_since: None,
            created_at: now,
            updated_at: now,
            secret: new_secret(&profile.spec.secret)?,
            profile,
            plan: Arc::new(plan),
            previous_secret: None,
        };
        known.check_examples(&webhook)?;
        Ok(Checked { webhook, plugins })
    }

    /// Whether everything that the settings were checked with is still there.
    fn still_holds(&self, tenant: &Tenant, checked: &Checked) -> bool {
        let webhook = &checked.webhook;
        let named = named_secrets(webhook);
        tenant.read(|state| {
            let profile = self.profile_of(state, webhook.spec.profile.as_deref());
            profile.is_ok_and(|profile| Arc::ptr_eq(&profile, &webhook.profile))
                && plugin_versions(state, &webhook.spec) == checked.plugins
                && named.iter().all(|name| state.secrets.contains_key(name))
        })
    }

    async fn ask_plugins_of(&self, tenant: &Tenant, webhook: &Webhook) -> Result<(), Invalid> {
        let spec = &webhook.spec;
        let accepts = |name: &str| spec.event_types.iter().any(|filter| filter.accepts(name));
        let uses = spec.plugins.iter().map(|used| (used.plugin.as_str(), &used.config));
        self.ask_plugins(tenant, accepts, uses, ("/plugins", Place::Webhook)).await
    }

    /// Saves new settings as a new revision. A `secret` replaces the old one at once. Settings made from a
    /// revision (`made_from`) are refused when that is no longer the latest.
    pub async fn update_webhook(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        spec: WebhookSpec,
        secret: Option<Secret>,
        made_from: Option<u32>,
    ) -> Result<Arc<Webhook>, ChangeError> {
        let switch = spec.enabled;
        for _ in 0..ROUNDS_MAX {
            let known = webhook_in(tenant, id)?;
            check_made_from(&known, made_from)?;
            let checked = self.checked(tenant, spec.clone(), Some(known.spec.clone())).await?;
            let (registry, tenant, secret) = (self.clone(), tenant.clone(), secret.clone());
            let stored = to_its_end(async move {
                registry.replace(&tenant, id, checked, secret, (made_from, switch)).await
            });
            if let Some(webhook) = stored.await? {
                return Ok(webhook);
            }
        }
        Err(never_settled())
    }

    /// Stores new settings of a webhook, and enables or disables it. None: what the settings were checked
    /// with has changed.
    async fn replace(
        &self,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        checked: Checked,
        secret: Option<Secret>,
        (made_from, switch): (Option<u32>, Option<bool>),
    ) -> Result<Option<Arc<Webhook>>, ChangeError> {
        let _change = self.change_in(tenant).await?;
        let known = webhook_in(tenant, id)?;
        check_made_from(&known, made_from)?;
        if !self.still_holds(tenant, &checked) {
            return Ok(None);
        }
        let (before, after) = (known.plan.bytes, checked.webhook.plan.bytes);
        tenant.read(|state| self.check_bytes(state, before, after))?;
        let webhook = Webhook {
            id,
            revision: known.revision + 1,
            enabled: known.enabled,
            paused: known.paused,
            disabled_reason: known.disabled_reason.clone(),
            created_at: known.created_at,
            secret: secret.unwrap_or_else(|| known.secret.clone()),
            previous_secret: known.previous_secret.clone(),
            ..checked.webhook
        };
        self.check_main_secret(&webhook.plan, &webhook.secret)?;
        let row = self.webhook_row(&webhook)?;
        let keep = self.config.tenant.revisions_max;
        let stored = self.store.configuration.update_webhook(row, known.revision, keep).await;
        stored.map_err(ChangeError::of("webhook"))?;
        let webhook = swap(tenant, webhook);
        if known.failing_since.is_some() {
            self.begin_anew(&webhook).await?;
        }
        if switch.is_some_and(|enabled| enabled != webhook.enabled) {
            return self.change_state(tenant, id, switch, None, None).await.map(Some);
        }
        Ok(Some(webhook))
    }

    /// Restores the settings of an older revision, as a new revision.
    pub async fn revert_webhook(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        revision: u32,
    ) -> Result<Arc<Webhook>, ChangeError> {
        webhook_in(tenant, id)?;
        let row = self.store.configuration.webhook_revision(id, revision).await;
        let row = row.map_err(ChangeError::of("revision"))?;
        let spec = serde_json::from_str(&row.spec)
            .map_err(|e| ChangeError::Conflict(format!("the revision can't be read: {e}")))?;
        self.update_webhook(tenant, id, spec, None, None).await
    }

    /// Replaces the secret. The old one keeps signing beside it for a while where a signer can carry two
    /// signatures.
    pub async fn rotate_secret(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        secret: Option<Secret>,
    ) -> Result<Arc<Webhook>, ChangeError> {
        let (registry, tenant) = (self.clone(), tenant.clone());
        to_its_end(async move { registry.rotate(&tenant, id, secret).await }).await
    }

    async fn rotate(
        &self,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        secret: Option<Secret>,
    ) -> Result<Arc<Webhook>, ChangeError> {
        let _change = self.change_in(tenant).await?;
        let known = webhook_in(tenant, id)?;
        let secret = match secret {
            Some(secret) => secret,
            None => new_secret(&known.profile.spec.secret)?,
        };
        self.check_main_secret(&known.plan, &secret)?;
        let now = self.now();
        let overlap_ms =
            i64::try_from(self.config.delivery.rotation_overlap_ms).unwrap_or(i64::MAX);
        let until = now.plus_ms(overlap_ms);
        let place = place(id);
        let before = self.sealer.seal(&place, &known.secret)?;
        let sealed = self.sealer.seal(&place, &secret)?;
        let stored =
            self.store.configuration.set_webhook_secret(id, sealed, Some((before, until)), now);
        stored.await.map_err(ChangeError::of("webhook"))?;
        let previous_secret = Some((known.secret.clone(), until));
        Ok(swap(
            tenant,
            Webhook { secret, previous_secret, updated_at: now, ..Webhook::clone(&known) },
        ))
    }

    /// Deletes a webhook; its waiting deliveries are cancelled.
    pub async fn delete_webhook(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: WebhookId,
    ) -> Result<(), ChangeError> {
        let (registry, tenant) = (self.clone(), tenant.clone());
        to_its_end(async move {
            let _change = registry.change_in(&tenant).await?;
            webhook_in(&tenant, id)?;
            // The most of them before the transaction that deletes the webhook cancels the rest.
            let (now, why) = (registry.now(), reason::WEBHOOK_DELETED);
            registry.store.queue.cancel_webhook(id, why, now).await?;
            let deleted = registry.store.configuration.delete_webhook(id, registry.now()).await;
            deleted.map_err(ChangeError::of("webhook"))?;
            tenant.change(|state| state.remove_webhook(id));
            Ok(())
        })
        .await
    }

    fn check_main_secret(&self, plan: &Plan, secret: &Secret) -> Result<(), Invalid> {
        self.check_secret("/secret", secret)?;
        let standard = plan.signers.iter().filter(|signer| signer.key() == "main");
        for signer in standard {
            let Signer::Standard { version, .. } = signer else { continue };
            let bytes = standard_key(secret).ok_or_else(|| {
                Invalid::at("/secret", "is `whsec_` and base64, as the signer `standard` wants it; leave it out to have one made")
            })?;
            if *version == StandardVersion::V1a && bytes.len() < 32 {
                return Err(Invalid::at(
                    "/secret",
                    "has 32 bytes in base64 or more, as Ed25519 needs them",
                ));
            }
        }
        Ok(())
    }

    fn webhook_row(&self, webhook: &Webhook) -> Result<WebhookRow, ChangeError> {
        let place = place(webhook.id);
        let before = webhook.previous_secret.as_ref();
        let before = before.map(|(secret, until)| {
            Ok::<_, ChangeError>((self.sealer.seal(&place, secret)?, *until))
        });
        let (secret_before, secret_before_until) = before.transpose()?.unzip();
        Ok(WebhookRow {
            id: webhook.id,
            tenant: webhook.tenant.clone(),
            name: webhook.spec.name.clone(),
            spec: stored(&*webhook.spec)?,
            secret: self.sealer.seal(&place, &webhook.secret)?,
            secret_before,
            secret_before_until,
            enabled: webhook.enabled,
            paused: webhook.paused,
            disabled_reason: webhook.disabled_reason.clone(),
            revision: webhook.revision,
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
        })
    }
}

fn webhook_in(tenant: &Tenant, id: WebhookId) -> Result<Arc<Webhook>, ChangeError> {
    tenant.webhook(id).ok_or(ChangeError::NotFound("webhook"))
}

fn swap(tenant: &Tenant, webhook: Webhook) -> Arc<Webhook> {
    let webhook = Arc::new(webhook);
    tenant.put_webhook(webhook.clone());
    webhook
}

/// Settings that were made from a revision replace no other one.
fn check_made_from(known: &Webhook, made_from: Option<u32>) -> Result<(), ChangeError> {
    if made_from.is_some_and(|revision| revision != known.revision) {
        let detail = "somebody else saved the webhook meanwhile; look at it and try again";
        return Err(ChangeError::Conflict(detail.to_owned()));
    }
    Ok(())
}

/// Generates a secret in the profile's format.
fn new_secret(spec: &SecretSpec) -> Result<Secret, ChangeError> {
    // More than any scheme needs.
    const BYTES_MAX: usize = 64;
    let bytes = random::<BYTES_MAX>()?;
    Ok(Secret::new(match spec {
        SecretSpec::Whsec { bytes: n } => {
            format!("whsec_{}", BASE64_STANDARD.encode(&bytes[..(*n).clamp(24, BYTES_MAX)]))
        }
        SecretSpec::Hex { bytes: n } => hex::encode(&bytes[..(*n).clamp(16, BYTES_MAX)]),
    }))
}
