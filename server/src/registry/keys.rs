//! API keys. The text is shown once; only its SHA-256 is stored.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::{ChangeError, Registry, to_its_end};
use crate::model::{ApiKey, Invalid, KeyId, Millis, Scope, Secret, TenantId, uuid_v7};
use crate::seal::{NoRandomness, random};

/// The text of a new key: `antar_` and 32 random bytes.
pub fn new_key_text() -> Result<Secret, NoRandomness> {
    Ok(Secret::new(format!("antar_{}", BASE64_URL_SAFE_NO_PAD.encode(random::<32>()?))))
}

pub(super) fn new_key(
    name: &str,
    tenant: Option<TenantId>,
    scopes: Vec<Scope>,
    text: &Secret,
    now: Millis,
) -> ApiKey {
    let hash = Sha256::digest(text.reveal().as_bytes()).into();
    ApiKey { id: uuid_v7(now), name: name.to_owned(), tenant, scopes, hash, created_at: now }
}

impl Registry {
    /// The key with this text. Looked up by digest, so that timing reveals nothing about the text.
    #[must_use]
    pub fn key(&self, text: &str) -> Option<Arc<ApiKey>> {
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        self.keys.read().get(&hash).cloned()
    }

    /// Whether a key still exists, with the rights that it had.
    #[must_use]
    pub fn key_stands(&self, key: &ApiKey) -> bool {
        self.keys.read().get(&key.hash).is_some_and(|current| {
            current.id == key.id && current.tenant == key.tenant && current.scopes == key.scopes
        })
    }

    /// Stores the key of the data folder's `operator.key`, so that every node of the database accepts it, unless
    /// it was deleted: then the file has outlived it.
    pub async fn admit_operator_key(&self, text: &Secret) -> anyhow::Result<()> {
        if self.key(text.reveal()).is_some() {
            return Ok(());
        }
        let key = new_key("operator", None, Vec::new(), text, self.now());
        if self.store.configuration.is_deleted_operator_key(&key.hash).await? {
            tracing::warn!(
                "the key in operator.key was deleted and stays deleted; write another key of the operator \
                 into the file, for the commands that read it"
            );
            return Ok(());
        }
        self.insert_key(key).await?;
        Ok(())
    }

    /// The keys of a tenant, or the operator's; oldest first.
    #[must_use]
    pub fn keys(&self, tenant: Option<&TenantId>) -> Vec<Arc<ApiKey>> {
        let keys = self.keys.read();
        let mut found: Vec<_> =
            keys.values().filter(|key| key.tenant.as_ref() == tenant).cloned().collect();
        found.sort_unstable_by_key(|key| key.id);
        found
    }

    /// Creates a key. Its text is in the return value and nowhere else.
    pub async fn create_key(
        self: &Arc<Self>,
        name: String,
        tenant: Option<TenantId>,
        scopes: Vec<Scope>,
    ) -> Result<(Arc<ApiKey>, Secret), ChangeError> {
        let registry = self.clone();
        to_its_end(async move {
            let text = new_key_text()?;
            let key = new_key(&name, tenant, scopes, &text, registry.now());
            Ok((registry.create(key).await?, text))
        })
        .await
    }

    async fn create(&self, key: ApiKey) -> Result<Arc<ApiKey>, ChangeError> {
        let Some(id) = &key.tenant else {
            let _one = self.operator.lock().await;
            return self.insert_key(key).await;
        };
        let tenant = self.tenant(id).ok_or(ChangeError::NotFound("tenant"))?;
        let _change = self.change_in(&tenant).await?;
        if key.scopes.is_empty() {
            return Err(Invalid::at("/scopes", "name at least one of publish, read, manage").into());
        }
        let count = self.keys.read().values().filter(|key| key.tenant.as_ref() == Some(id)).count();
        let max = self.config.tenant.keys_max;
        Registry::check_count(count, "keys", ("keys_max", max))?;
        self.insert_key(key).await
    }

    pub(super) async fn insert_key(&self, key: ApiKey) -> Result<Arc<ApiKey>, ChangeError> {
        let _none_are_read = self.key_changes.read().await;
        self.store.configuration.insert_key(key.clone()).await.map_err(ChangeError::of("key"))?;
        let key = Arc::new(key);
        self.keys.write().insert(key.hash, key.clone());
        Ok(key)
    }

    /// Deletes a key of a tenant, or of the operator. Requests with it are refused from then on.
    pub async fn delete_key(
        self: &Arc<Self>,
        tenant: Option<&TenantId>,
        id: KeyId,
    ) -> Result<(), ChangeError> {
        let (registry, tenant) = (self.clone(), tenant.cloned());
        to_its_end(async move {
            let Some(tenant) = tenant else {
                let _one = registry.operator.lock().await;
                if registry.keys(None).len() == 1 {
                    return Err(ChangeError::Conflict(
                        "this is the operator's last key; make another one first".to_owned(),
                    ));
                }
                return registry.remove_key(None, id).await;
            };
            let _turn = registry.turns.of(&tenant).await;
            registry.remove_key(Some(&tenant), id).await
        })
        .await
    }

    async fn remove_key(&self, tenant: Option<&TenantId>, id: KeyId) -> Result<(), ChangeError> {
        let _none_are_read = self.key_changes.read().await;
        let deleted = self.store.configuration.delete_key(tenant, id, self.now()).await;
        deleted.map_err(ChangeError::of("key"))?;
        self.keys.write().retain(|_, key| key.id != id);
        self.rights_changed();
        Ok(())
    }
}
