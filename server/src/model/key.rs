//! API keys and their scopes.

use serde::{Deserialize, Serialize};

use super::{Millis, TenantId};

/// What a key may do. `manage` includes the others.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Post events.
    Publish,
    /// See everything of the tenant but secrets.
    Read,
    /// Change everything of the tenant.
    Manage,
}

/// Id of a key: not secret, and not part of the key's text.
pub type KeyId = uuid::Uuid;

/// A stored key. Only the SHA-256 of its text is stored.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: KeyId,
    pub name: String,
    /// `None`: an operator key, for all tenants and all operator calls.
    pub tenant: Option<TenantId>,
    pub scopes: Vec<Scope>,
    pub hash: [u8; 32],
    pub created_at: Millis,
}
