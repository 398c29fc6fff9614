//! Changes of webhooks: settings, state and secrets.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::compile::{Surroundings, compile};
use super::{ChangeError, Registry, stored};
use crate::model::{
    Invalid, Millis, Secret, SecretSpec, Signer, StandardVersion, WebhookId, WebhookSpec,
};
use crate::pipeline::attempt::sign::standard_key;
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::{Plan, Webhook};
use crate::plugin::Place;
use crate::seal::random;
use crate::store::WebhookRow;

/// The place that a webhook's secret is sealed for.
pub(super) fn place(id: WebhookId) -> String {
    format!("webhook/{id}")
}

impl Registry {
    pub async fn create_webhook(
        &self,
        tenant: &Arc<Tenant>,
        spec: WebhookSpec,
        secret: Option<Secret>,
    ) -> Result<Arc<Webhook>, ChangeError> {
        let _one = self.change_in(tenant).await?;
        let max = self.config.tenant.webhooks_max;
        let (count, taken) =
            tenant.read(|state| (state.webhooks().len(), state.is_webhook_name_taken(&spec.name)));
        if taken {
            return Err(ChangeError::NameTaken("webhook"));
        }
        if count >= max {
            return Err(ChangeError::Conflict(format!(
                "a tenant has {max} webhooks at most (tenant.webhooks_max)"
            )));
        }
        let mut webhook = self.check_webhook(tenant, spec)?;
        self.ask_plugins_of(tenant, &webhook).await?;
        if let Some(secret) = secret {
            webhook.secret = secret;
        }
        self.check_main_secret(&webhook.plan, &webhook.secret)?;
        self.store
            .configuration
            .insert_webhook(self.webhook_row(&webhook)?)
            .await
            .map_err(ChangeError::of("webhook"))?;
        Ok(swap(tenant, webhook))
    }

    /// Builds a webhook as it would be saved, with a generated secret; stores nothing.
    pub fn check_webhook(
        &self,
        tenant: &Tenant,
        mut spec: WebhookSpec,
    ) -> Result<Webhook, ChangeError> {
        let profile = tenant.read(|state| self.profile_of(state, spec.profile.as_deref()))?;
        let known = tenant.read(|state| self.known(tenant, state, &profile, &spec));
        let plan = tenant.read(|state| {
            let around = Surroundings {
                config: &self.config,
                policy: &self.policy,
                profile: &profile,
                tenant: state,
                at_save: Some(&known),
            };
            compile(&spec, &around)
        })?;
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
        Ok(webhook)
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
        &self,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        spec: WebhookSpec,
        secret: Option<Secret>,
        made_from: Option<u32>,
    ) -> Result<Arc<Webhook>, ChangeError> {
        let _one = self.change_in(tenant).await?;
        let known = webhook_in(tenant, id)?;
        if made_from.is_some_and(|revision| revision != known.revision) {
            let detail = "somebody else saved the webhook meanwhile; look at it and try again";
            return Err(ChangeError::Conflict(detail.to_owned()));
        }
        let enabled = spec.enabled;
        let checked = self.check_webhook(tenant, spec)?;
        self.ask_plugins_of(tenant, &checked).await?;
        let webhook = Webhook {
            id,
            revision: known.revision + 1,
            enabled: known.enabled,
            paused: known.paused,
            disabled_reason: known.disabled_reason.clone(),
            created_at: known.created_at,
            secret: secret.unwrap_or_else(|| known.secret.clone()),
            previous_secret: known.previous_secret.clone(),
            ..checked
        };
        self.check_main_secret(&webhook.plan, &webhook.secret)?;
        let row = self.webhook_row(&webhook)?;
        self.store
            .configuration
            .update_webhook(row, known.revision)
            .await
            .map_err(ChangeError::of("webhook"))?;
        let webhook = swap(tenant, webhook);
        if known.failing_since.is_some() {
            self.begin_anew(&webhook).await?;
        }
        if enabled.is_some_and(|enabled| enabled != webhook.enabled) {
            return self.change_state(tenant, id, enabled, None, None).await;
        }
        Ok(webhook)
    }

    /// Restores the settings of an older revision, as a new revision.
    pub async fn revert_webhook(
        &self,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        revision: u32,
    ) -> Result<Arc<Webhook>, ChangeError> {
        webhook_in(tenant, id)?;
        let revisions = self.store.configuration.webhook_revisions(id).await?;
        let row = revisions.into_iter().find(|row| row.revision == revision);
        let row = row.ok_or(ChangeError::NotFound("revision"))?;
        let spec = serde_json::from_str(&row.spec)
            .map_err(|e| ChangeError::Conflict(format!("the revision can't be read: {e}")))?;
        self.update_webhook(tenant, id, spec, None, None).await
    }

    /// Enables, disables, pauses or resumes a webhook; its waiting deliveries are held or released.
    pub async fn set_webhook_state(
        &self,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        enabled: Option<bool>,
        paused: Option<bool>,
    ) -> Result<Arc<Webhook>, ChangeError> {
        let _one = self.change_in(tenant).await?;
        self.change_state(tenant, id, enabled, paused, None).await
    }

    /// Disables a webhook whose receiver reported that it is gone.
    pub async fn disable_webhook(
        &self,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        why: &str,
    ) -> Result<Arc<Webhook>, ChangeError> {
        let _one = self.change_in(tenant).await?;
        self.change_state(tenant, id, Some(false), None, Some(why)).await
    }

    async fn change_state(
        &self,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        enabled: Option<bool>,
        paused: Option<bool>,
        disabled_reason: Option<&str>,
    ) -> Result<Arc<Webhook>, ChangeError> {
        let known = webhook_in(tenant, id)?;
        let mut webhook = Webhook::clone(&known);
        webhook.enabled = enabled.unwrap_or(known.enabled);
        webhook.paused = paused.unwrap_or(known.paused);
        if enabled == Some(true) || paused == Some(false) {
            webhook.failing_since = None;
            self.store.queue.note_working(id).await?;
        }
        webhook.disabled_reason = match (webhook.enabled, disabled_reason) {
            (true, _) => None,
            (false, Some(why)) => Some(why.to_owned()),
            (false, None) => known.disabled_reason.clone(),
        };
        let now = self.now();
        webhook.updated_at = now;
        let (enabled, paused, why) =
            (webhook.enabled, webhook.paused, webhook.disabled_reason.clone());
        let stored =
            self.store.configuration.set_webhook_state(id, enabled, paused, why.as_deref(), now);
        stored.await.map_err(ChangeError::of("webhook"))?;
        let webhook = swap(tenant, webhook);
        self.hold_or_release(&webhook).await?;
        Ok(webhook)
    }

    /// Holds or releases waiting deliveries according to the webhook's state. Runs after the swap, so that
    /// deliveries accepted meanwhile are included.
    async fn hold_or_release(&self, webhook: &Webhook) -> Result<(), ChangeError> {
        let now = self.now();
        match webhook.hold_reason() {
            Some(reason) => self.store.queue.hold_webhook(webhook.id, reason, now).await?,
            None => self.store.queue.release_webhook(webhook.id, now).await?,
        };
        Ok(())
    }

    /// Clears the failing state after a change: the receiver gets another chance.
    async fn begin_anew(&self, webhook: &Webhook) -> Result<(), ChangeError> {
        self.store.queue.note_working(webhook.id).await?;
        self.hold_or_release(webhook).await
    }

    /// Sends only probes from now on, because the receiver has failed since then. None: the webhook is
    /// treated as any other again, and held deliveries are released.
    pub async fn set_probed(
        &self,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        failing_since: Option<Millis>,
    ) -> Result<(), ChangeError> {
        let _one = self.change_in(tenant).await?;
        let known = webhook_in(tenant, id)?;
        let webhook = swap(tenant, Webhook { failing_since, ..Webhook::clone(&known) });
        self.hold_or_release(&webhook).await
    }

    /// Replaces the secret. The old one keeps signing beside it for a while where a signer can carry two
    /// signatures.
    pub async fn rotate_secret(
        &self,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        secret: Option<Secret>,
    ) -> Result<Arc<Webhook>, ChangeError> {
        let _one = self.change_in(tenant).await?;
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
        &self,
        tenant: &Arc<Tenant>,
        id: WebhookId,
    ) -> Result<(), ChangeError> {
        let _one = self.change_in(tenant).await?;
        webhook_in(tenant, id)?;
        self.store
            .configuration
            .delete_webhook(id, self.now())
            .await
            .map_err(ChangeError::of("webhook"))?;
        tenant.change(|state| state.remove_webhook(id));
        Ok(())
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
    tenant.change(|state| state.put_webhook(webhook.clone()));
    webhook
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
