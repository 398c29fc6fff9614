//! Sources: incoming URLs whose calls become events.

mod verify;

use std::collections::BTreeMap;

use antar_json::Document;
use serde::{Deserialize, Serialize};

pub use self::verify::{
    Digest, KeyEncoding, SignatureCheck, SignatureFields, TimestampUnit, Verify,
};
use super::Encoding;

/// How a call from outside becomes one or more events. Templates and paths look at
/// `{"method", "path", "query", "headers", "body"}`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// Unique in its tenant.
    pub name: String,
    /// Answers and path of this profile; left out: the tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// A template, such as `stripe.{{body.type}}`.
    pub event_type: String,
    /// A template, such as `{{headers.x-github-delivery}}`. Left out: a new id for each call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// A path in the call that becomes the event's data. Left out: the whole call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// A path in the call to an array whose elements become an event each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Put on every event.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// How the body is read where its media type does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodySpec>,
    /// Methods whose calls become events; `*` is every method. Left out: the profile's, else POST, PUT and PATCH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// How the caller is verified, beside the secret in the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// Calls that are answered and make no event; the first one that fits answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handshakes: Vec<Handshake>,
    /// The answer to a call whose events are durable. Left out: the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerSpec>,
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl SourceSpec {
    /// The names of the secrets that it uses; a name may occur twice.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let of_handshakes = self.handshakes.iter().flat_map(|handshake| {
            let token = handshake.token.iter().flat_map(|token| &token.keys);
            token.chain(handshake.hmac.iter().map(|mac| &mac.key))
        });
        let keys = self.verify.as_ref().map_or(&[][..], Verify::keys);
        keys.iter().chain(of_handshakes).map(String::as_str)
    }
}

/// How a body is read.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BodySpec {
    /// As this, whatever its media type is.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub read_as: Option<BodyForm>,
    /// Names of form fields that hold JSON, such as `payload`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json_fields: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyForm {
    Json,
    Form,
    Text,
}

/// A call by which a provider makes sure of the receiver.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// Methods; left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// An event pattern over the call.
    #[serde(default = "Document::empty_object")]
    #[schema(value_type = Object)]
    pub when: Document,
    /// A token that the call must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<HandshakeToken>,
    /// A MAC that the answer shows as `{{hmac}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac: Option<HandshakeMac>,
    /// Whether the call must pass `verify` first.
    #[serde(default)]
    pub verified: bool,
    pub answer: AnswerSpec,
}

/// A token that is compared with a secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandshakeToken {
    /// Where it stands in the call, such as `{query.hub.verify_token}`.
    pub at: String,
    pub keys: Vec<String>,
}

/// A MAC over a part of the call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandshakeMac {
    /// A named secret.
    pub key: String,
    #[serde(default)]
    pub algorithm: Digest,
    #[serde(default)]
    pub encoding: Encoding,
    /// Such as `{body.payload.plainToken}`.
    pub over: String,
}

/// An answer to a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerSpec {
    #[serde(default = "ok")]
    pub status: u16,
    /// Left out: `application/json` for a body that looks like JSON, else `text/plain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Templates over the call.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A template over the call.
    #[serde(default)]
    pub body: String,
}

fn ok() -> u16 {
    200
}

pub(super) fn yes() -> bool {
    true
}
