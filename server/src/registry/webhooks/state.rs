//! Changes of a webhook's state: enabled, paused, failing.

use std::sync::Arc;

use super::{swap, webhook_in};
use crate::model::{Millis, WebhookId};
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;
use crate::registry::{ChangeError, Registry, to_its_end};

impl Registry {
    /// Enables, disables, pauses or resumes a webhook; its waiting deliveries are held or released.
    pub async fn set_webhook_state(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        enabled: Option<bool>,
        paused: Option<bool>,
    ) -> Result<Arc<Webhook>, ChangeError> {
        let (registry, tenant) = (self.clone(), tenant.clone());
        to_its_end(async move {
            let _change = registry.change_in(&tenant).await?;
            registry.change_state(&tenant, id, enabled, paused, None).await
        })
        .await
    }

    /// Disables a webhook whose receiver reported that it is gone.
    pub async fn disable_webhook(
        &self,
        tenant: &Arc<Tenant>,
        id: WebhookId,
        why: &str,
    ) -> Result<Arc<Webhook>, ChangeError> {
        let _change = self.own_change_in(tenant).await?;
        self.change_state(tenant, id, Some(false), None, Some(why)).await
    }

    pub(super) async fn change_state(
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
    pub(super) async fn begin_anew(&self, webhook: &Webhook) -> Result<(), ChangeError> {
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
        let _change = self.own_change_in(tenant).await?;
        let known = webhook_in(tenant, id)?;
        let webhook = swap(tenant, Webhook { failing_since, ..Webhook::clone(&known) });
        self.hold_or_release(&webhook).await
    }
}
