//! Ways of signing a request.

use serde::{Deserialize, Serialize};

/// Names the secret a signer uses: `main` (the webhook's own) or a named one of the tenant.
pub type KeyName = String;

fn main_key() -> KeyName {
    "main".to_owned()
}

fn whole_body() -> String {
    "{body}".to_owned()
}

/// One way of signing; a webhook has a list of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Signer {
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Standard {
        #[serde(default)]
        version: StandardVersion,
        #[serde(default = "main_key")]
        key: KeyName,
    },
    /// An HMAC in a header of choice, keyed by the secret as text.
    Hmac {
        header: String,
        #[serde(default)]
        algorithm: Algorithm,
        #[serde(default)]
        encoding: Encoding,
        /// Written before the value, such as `sha256=`.
        #[serde(default)]
        prefix: String,
        /// A mix of `{body}`, `{timestamp}` (Unix seconds), `{id}` (the event's) and
        /// `{delivery_id}`.
        #[serde(default = "whole_body")]
        over: String,
        #[serde(default = "main_key")]
        key: KeyName,
    },
    /// The secret itself in a header.
    Secret {
        header: String,
        #[serde(default = "main_key")]
        key: KeyName,
    },
    /// `Authorization: Bearer SECRET`.
    Bearer {
        #[serde(default = "main_key")]
        key: KeyName,
    },
    /// `Authorization: Basic …` of `username` and the secret.
    Basic {
        username: String,
        #[serde(default = "main_key")]
        key: KeyName,
    },
}

impl Signer {
    /// The name of the secret it uses.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Signer::Standard { key, .. }
            | Signer::Hmac { key, .. }
            | Signer::Secret { key, .. }
            | Signer::Bearer { key }
            | Signer::Basic { key, .. } => key,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StandardVersion {
    /// HMAC-SHA256.
    #[default]
    V1,
    /// Ed25519.
    V1a,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
}
