//! Named secrets of a tenant: written and used, never read back.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use antar_json::Document;

use super::{ChangeError, Registry, to_its_end};
use crate::model::{Invalid, Secret, SecretName, Signer, TenantId};
use crate::pipeline::attempt::secrets::SECRET_BYTES_MIN;
use crate::pipeline::attempt::transform::secrets_of;
use crate::pipeline::compiled::tenant::{StoredSecret, Tenant, TenantState};
use crate::pipeline::compiled::webhook::Webhook;
use crate::store::SecretRow;

/// The place that a secret is sealed for.
pub(super) fn place(tenant: &TenantId, name: &SecretName) -> String {
    format!("secret/{tenant}/{name}")
}

impl Registry {
    /// Stores a secret; subsequent attempts use it. True: it is new.
    pub async fn put_secret(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        name: SecretName,
        value: Secret,
    ) -> Result<bool, ChangeError> {
        self.check_secret("/value", &value)?;
        let (registry, tenant) = (self.clone(), tenant.clone());
        to_its_end(async move { registry.insert_secret(&tenant, name, value).await }).await
    }

    async fn insert_secret(
        &self,
        tenant: &Arc<Tenant>,
        name: SecretName,
        value: Secret,
    ) -> Result<bool, ChangeError> {
        let _change = self.change_in(tenant).await?;
        tenant.read(|state| {
            let before = state.secrets.get(&name).map(|stored| stored.value.reveal().len());
            if before.is_none() {
                let max = self.config.tenant.secrets_max;
                Registry::check_count(state.secrets.len(), "secrets", ("secrets_max", max))?;
            }
            self.check_bytes(state, before.unwrap_or(0), value.reveal().len())
        })?;
        if is_short(&value) && tenant.read(|state| plugins_name_secret(state, name.as_str())) {
            return Err(Invalid::at("/value", SHORT).into());
        }
        let now = self.now();
        let sealed = self.sealer.seal(&place(&tenant.id, &name), &value)?;
        let row = SecretRow {
            tenant: tenant.id.clone(),
            name: name.clone(),
            sealed,
            created_at: now,
            updated_at: now,
        };
        self.store.configuration.put_secret(row).await?;
        let stored = StoredSecret { value, updated_at: now };
        Ok(tenant.change(|state| state.secrets.insert(name, stored)).is_none())
    }

    /// Checks that a secret's text fits into a header.
    pub(super) fn check_secret(&self, pointer: &str, value: &Secret) -> Result<(), Invalid> {
        let text = value.reveal();
        let max = self.config.tenant.secret_bytes_max;
        if text.is_empty() || text.len() > max {
            return Err(Invalid::at(
                pointer,
                format!("has 1 to {max} bytes (tenant.secret_bytes_max)"),
            ));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::at(
                pointer,
                "has no control characters; is there a line break at its end?",
            ));
        }
        Ok(())
    }

    /// Deletes a secret that is not in use.
    pub async fn delete_secret(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        name: &SecretName,
    ) -> Result<(), ChangeError> {
        let (registry, tenant, name) = (self.clone(), tenant.clone(), name.clone());
        to_its_end(async move { registry.remove_secret(&tenant, &name).await }).await
    }

    async fn remove_secret(
        &self,
        tenant: &Arc<Tenant>,
        name: &SecretName,
    ) -> Result<(), ChangeError> {
        let _change = self.change_in(tenant).await?;
        if !tenant.read(|state| state.secrets.contains_key(name)) {
            return Err(ChangeError::NotFound("secret"));
        }
        let uses = self.secret_uses(tenant, [name].into_iter());
        if let Some([user, ..]) = uses.get(name.as_str()).map(Vec::as_slice) {
            return Err(ChangeError::Conflict(format!(
                "{user} uses this secret; take it out there first"
            )));
        }
        self.store
            .configuration
            .delete_secret(&tenant.id, name)
            .await
            .map_err(ChangeError::of("secret"))?;
        tenant.change(|state| state.secrets.remove(name));
        Ok(())
    }

    /// What uses each of these secrets, in words: the first ones, and how many others. All webhooks are looked
    /// at once, however many secrets are asked for.
    #[must_use]
    pub fn secret_uses<'a>(
        &self,
        tenant: &Tenant,
        names: impl Iterator<Item = &'a SecretName>,
    ) -> HashMap<String, Vec<String>> {
        let mut uses: HashMap<&str, Uses> =
            names.map(|name| (name.as_str(), Uses::default())).collect();
        // Others change the tenant meanwhile.
        let (webhooks, intake) = tenant.read(|state| {
            let webhooks: Vec<_> = state.webhooks().cloned().collect();
            (webhooks, state.spec.intake_plugins.clone())
        });
        for webhook in webhooks {
            let named = secrets_named(&webhook);
            for name in &named {
                if let Some(uses) = uses.get_mut(name.as_str()) {
                    uses.add(format!("the webhook `{}`", webhook.spec.name));
                }
            }
        }
        for source in self.sources(&tenant.id) {
            for name in source.spec.secrets() {
                if let Some(uses) = uses.get_mut(name) {
                    uses.add(format!("the source `{}`", source.spec.name));
                }
            }
        }
        for name in intake.iter().flat_map(|used| secrets_of(used.config.root())) {
            if let Some(uses) = uses.get_mut(name.as_str()) {
                uses.by_intake = true;
            }
        }
        uses.into_iter().map(|(name, uses)| (name.to_owned(), uses.told())).collect()
    }
}

/// Whether a secret is too short to be told from other text, where a plugin writes it.
pub(super) fn is_short(value: &Secret) -> bool {
    value.reveal().len() < SECRET_BYTES_MIN
}

/// Why a short secret is refused in the config of a plugin.
pub(super) const SHORT: &str = "has less than 6 bytes: what a plugin writes of it could not be told from other text, \
     and would be stored as it is";

fn plugins_name_secret(state: &TenantState, name: &str) -> bool {
    let names = |config: &Document| secrets_of(config.root()).iter().any(|used| used == name);
    let mut of_webhooks = state.webhooks().flat_map(|webhook| &webhook.plan.plugins);
    of_webhooks.any(|used| names(&used.config))
        || state.spec.intake_plugins.iter().any(|used| names(&used.config))
}

/// The secrets that a webhook's own settings name, besides its main one.
pub(super) fn named_secrets(webhook: &Webhook) -> BTreeSet<SecretName> {
    let plan = &webhook.plan;
    let headers = plan.headers.iter().map(|(_, template)| template);
    let templates = headers.chain([&plan.url]).chain(&plan.body);
    let of_templates = templates.flat_map(|template| template.secrets());
    let signers = webhook.spec.signers.iter().flatten().map(Signer::key);
    let signers = signers.filter(|key| *key != "main");
    let mut names: BTreeSet<SecretName> =
        of_templates.chain(signers).filter_map(|name| name.parse().ok()).collect();
    let of_plugins = plan.plugins.iter().flat_map(|used| secrets_of(used.config.root()));
    names.extend(of_plugins.filter_map(|name| name.parse().ok()));
    names
}

/// Users of a secret.
#[derive(Default)]
struct Uses {
    first: BTreeSet<String>,
    others: usize,
    by_intake: bool,
}

impl Uses {
    fn add(&mut self, user: String) {
        const SHOWN_MAX: usize = 100;
        self.first.insert(user);
        if self.first.len() > SHOWN_MAX {
            self.first.pop_last();
            self.others += 1;
        }
    }

    fn told(self) -> Vec<String> {
        let mut told: Vec<_> = self.first.into_iter().collect();
        if self.others > 0 {
            told.push(format!("{} other webhooks", self.others));
        }
        if self.by_intake {
            told.push("the tenant's intake plugins".to_owned());
        }
        told
    }
}

/// The secrets that a webhook names, each once.
fn secrets_named(webhook: &Webhook) -> BTreeSet<String> {
    let plan = &webhook.plan;
    let headers = plan.headers.iter().map(|(_, template)| template);
    let templates = headers.chain([&plan.url]).chain(&plan.body);
    let in_templates = templates.flat_map(|template| template.secrets()).map(ToOwned::to_owned);
    let signers = plan.signers.iter().map(|signer| signer.key().to_owned());
    let plugins = plan.plugins.iter().flat_map(|used| secrets_of(used.config.root()));
    in_templates.chain(signers).chain(plugins).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_users_the_first_are_named() {
        let mut uses = Uses::default();
        for n in (0..250).rev() {
            uses.add(format!("{n:03}"));
        }
        uses.by_intake = true;
        let told = uses.told();
        assert_eq!((told[0].as_str(), told[99].as_str()), ("000", "099"));
        assert_eq!(told[100..], ["150 other webhooks", "the tenant's intake plugins"]);
    }
}
