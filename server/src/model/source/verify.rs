//! How a source knows who calls.

use serde::{Deserialize, Serialize};

use crate::model::Encoding;

/// How the calls of a source are verified. Secrets are named ones of the tenant; while one is rotated, several
/// are given, and each is tried.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Verify {
    /// An HMAC over the call.
    Hmac(SignatureCheck),
    /// A plain digest over text that contains `{key}`.
    Hash(SignatureCheck),
    /// An Ed25519 signature; the secret is the public key, 32 bytes in hex or base64.
    Ed25519(SignatureCheck),
    /// An ECDSA signature over P-256 with SHA-256, in DER; the secret is the public key (base64 of its
    /// `SubjectPublicKeyInfo`).
    Ecdsa(SignatureCheck),
    /// An RSA signature (PKCS #1 v1.5 with SHA-256); the secret is the public key (PEM or base64 of its
    /// `SubjectPublicKeyInfo`).
    Rsa(SignatureCheck),
    /// Standard Webhooks, v1 and v1a. The secret is `whsec_…` for v1, or the public key `whpk_…` for v1a.
    Standard {
        keys: Vec<String>,
        #[serde(default = "tolerance_s")]
        tolerance_s: u32,
    },
    /// `Authorization: Basic …`; the secret is `USER:PASSWORD`.
    Basic { keys: Vec<String> },
    /// The secret itself in a header.
    Header {
        header: String,
        keys: Vec<String>,
        /// What stands before it, such as `Bearer `.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        prefix: String,
    },
    /// The secret itself in the query.
    Query { parameter: String, keys: Vec<String> },
    /// A proxy (`server.trusted_proxies`) has verified a client certificate, and says so in a header.
    Mtls {
        header: String,
        /// The value that the proxy sets, such as `SUCCESS`.
        value: String,
    },
}

/// Where a signature stands, and what it covers.
///
/// `over`, `signature` and `timestamp` are texts with placeholders: `{body}` (the raw body), `{timestamp}`,
/// `{method}`, `{url}` (`server.public_url` and path and query as called), `{path}`, `{query}`, `{form}`
/// (names and values of a form, sorted, without separators), `{key}`, `{body_crc32}`, `{headers.NAME}`,
/// `{query.NAME}` and `{body.PATH}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureCheck {
    pub keys: Vec<String>,
    /// Such as `{headers.x-hub-signature-256}`.
    pub signature: String,
    #[serde(default)]
    pub algorithm: Digest,
    #[serde(default)]
    pub encoding: Encoding,
    /// What stands before the signature, such as `sha256=`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// For a header with several fields, such as `t=1,v1=2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<SignatureFields>,
    #[serde(default = "whole_body")]
    pub over: String,
    /// When it was signed. Left out: it is not known, and only the event's id shows a repetition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    #[serde(default)]
    pub timestamp_unit: TimestampUnit,
    /// How far `timestamp` may be from the time of the call.
    #[serde(default = "tolerance_s")]
    pub tolerance_s: u32,
    #[serde(default)]
    pub key_encoding: KeyEncoding,
}

/// The fields `NAME=VALUE` of a signature header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureFields {
    #[serde(default = "comma")]
    pub separator: String,
    /// The name of the signatures; each is tried.
    pub signature: String,
    /// The name of the time, which becomes `{timestamp}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Digest {
    Sha1,
    #[default]
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TimestampUnit {
    /// Unix seconds.
    #[default]
    S,
    /// Unix milliseconds.
    Ms,
    Rfc3339,
}

/// How the secret's text stands for the bytes of the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    #[default]
    Text,
    Hex,
    Base64,
}

fn tolerance_s() -> u32 {
    300
}

fn whole_body() -> String {
    "{body}".to_owned()
}

fn comma() -> String {
    ",".to_owned()
}

impl Verify {
    /// The names of the secrets that it uses.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        match self {
            Verify::Hmac(check)
            | Verify::Hash(check)
            | Verify::Ed25519(check)
            | Verify::Ecdsa(check)
            | Verify::Rsa(check) => &check.keys,
            Verify::Standard { keys, .. }
            | Verify::Basic { keys }
            | Verify::Header { keys, .. }
            | Verify::Query { keys, .. } => keys,
            Verify::Mtls { .. } => &[],
        }
    }

    /// The check of a signature, if it is one.
    #[must_use]
    pub fn signature(&self) -> Option<&SignatureCheck> {
        match self {
            Verify::Hmac(check)
            | Verify::Hash(check)
            | Verify::Ed25519(check)
            | Verify::Ecdsa(check)
            | Verify::Rsa(check) => Some(check),
            _ => None,
        }
    }

    /// The header whose value is a secret, in lower case.
    #[must_use]
    pub fn secret_header(&self) -> Option<String> {
        match self {
            Verify::Header { header, .. } => Some(header.to_ascii_lowercase()),
            _ => None,
        }
    }

    /// The query parameter whose value is a secret.
    #[must_use]
    pub fn secret_parameter(&self) -> Option<&str> {
        match self {
            Verify::Query { parameter, .. } => Some(parameter),
            _ => None,
        }
    }
}
