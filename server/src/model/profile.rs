//! Profiles: the conventions of one platform (payload, headers, signing, retries) as a document.

use std::collections::BTreeMap;

use antar_json::Document;
use antar_template::Unresolved;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::{EventType, EventTypeSpec, Headers, RetrySpec, Signer, TypeFilter};

/// One entry of a payload: `{key, value}`, `{key, const}` or `{rest: data}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum PayloadEntry {
    /// A key whose value is taken from the event; left out when it does not resolve.
    Value {
        key: String,
        #[schema(value_type = String)]
        value: PayloadValue,
    },
    /// A key with a fixed value.
    Const {
        key: String,
        #[serde(rename = "const")]
        #[schema(value_type = serde_json::Value)]
        constant: Document,
    },
    /// `rest: data`: the keys of `data` not yet taken, in posted order.
    Rest { rest: RestOf },
}

/// An untagged enum would read its value through a type that holds numbers in 64 bits.
impl<'de> Deserialize<'de> for PayloadEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PayloadEntry, D::Error> {
        let entry = Document::deserialize(deserializer)?;
        let members: Vec<_> = entry.root().members().collect();
        let text = |name: &str| {
            let value = entry.root().get(name)?;
            value.as_str().map(std::borrow::Cow::into_owned)
        };
        let wrong = || {
            D::Error::custom(
                "an entry is {key, value}, {key, const} or {rest: data}, all but `const` text",
            )
        };
        match (members.len(), text("key"), entry.root().get("const"), text("value")) {
            (2, Some(key), Some(constant), None) => {
                Ok(PayloadEntry::Const { key, constant: constant.to_document() })
            }
            (2, Some(key), None, Some(value)) => {
                let value = PayloadValue::try_from(value).map_err(D::Error::custom)?;
                Ok(PayloadEntry::Value { key, value })
            }
            (1, None, None, None) if text("rest").as_deref() == Some("data") => {
                Ok(PayloadEntry::Rest { rest: RestOf::Data })
            }
            _ => Err(wrong()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RestOf {
    Data,
}

/// The source of a value in a payload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PayloadValue {
    Id,
    Type,
    Timestamp,
    Tenant,
    DeliveryId,
    Webhook,
    Data,
    DataPath(String),
    Attribute(String),
}

impl TryFrom<String> for PayloadValue {
    type Error = String;

    fn try_from(text: String) -> Result<PayloadValue, String> {
        Ok(match text.as_str() {
            "id" => PayloadValue::Id,
            "type" => PayloadValue::Type,
            "timestamp" => PayloadValue::Timestamp,
            "tenant" => PayloadValue::Tenant,
            "delivery_id" => PayloadValue::DeliveryId,
            "webhook" => PayloadValue::Webhook,
            "data" => PayloadValue::Data,
            _ => match (text.strip_prefix("data."), text.strip_prefix("attributes.")) {
                (Some(path), _) => PayloadValue::DataPath(path.to_owned()),
                (_, Some(name)) => PayloadValue::Attribute(name.to_owned()),
                _ => {
                    return Err(format!(
                        "`{text}`: a value is id, type, timestamp, tenant, delivery_id, webhook, data, data.PATH or attributes.NAME"
                    ));
                }
            },
        })
    }
}

impl From<PayloadValue> for String {
    fn from(value: PayloadValue) -> String {
        match value {
            PayloadValue::Id => "id".to_owned(),
            PayloadValue::Type => "type".to_owned(),
            PayloadValue::Timestamp => "timestamp".to_owned(),
            PayloadValue::Tenant => "tenant".to_owned(),
            PayloadValue::DeliveryId => "delivery_id".to_owned(),
            PayloadValue::Webhook => "webhook".to_owned(),
            PayloadValue::Data => "data".to_owned(),
            PayloadValue::DataPath(path) => format!("data.{path}"),
            PayloadValue::Attribute(name) => format!("attributes.{name}"),
        }
    }
}

/// How a generated secret looks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "format", rename_all = "lowercase", deny_unknown_fields)]
pub enum SecretSpec {
    /// `whsec_` and base64, as Standard Webhooks has it.
    Whsec {
        #[serde(default = "secret_bytes")]
        bytes: usize,
    },
    /// Lower-case hex.
    Hex {
        #[serde(default = "secret_bytes")]
        bytes: usize,
    },
}

fn secret_bytes() -> usize {
    32
}

impl Default for SecretSpec {
    fn default() -> SecretSpec {
        SecretSpec::Whsec { bytes: secret_bytes() }
    }
}

/// A named filter dimension.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FacetSpec {
    pub name: String,
    /// Path of the value, from `data` on.
    pub path: String,
    /// Path of the text shown to people, from `data` on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The types it constrains; left out: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_types: Vec<TypeFilter>,
}

/// The platform's own incoming URL and what a call is answered with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Incoming {
    /// Such as `/api/public/hooks/{source}/{secret}`; both places must occur.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default = "ok_status")]
    pub status: u16,
    /// Sent as it is, as JSON when it is JSON.
    #[serde(default)]
    pub body: String,
    /// Methods whose calls become events; `*` is every method. Left out: POST, PUT and PATCH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
}

fn ok_status() -> u16 {
    200
}

/// A profile document, without its `kind`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileSpec {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// The default payload.
    pub payload: Vec<PayloadEntry>,
    /// Payloads of types that differ.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub payloads: BTreeMap<EventType, Vec<PayloadEntry>>,
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub headers: Headers,
    /// Sent with `POST …/test` only.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub test_headers: Headers,
    #[serde(default)]
    pub secret: SecretSpec,
    #[serde(default)]
    pub signers: Vec<Signer>,
    #[serde(default)]
    pub retry: RetrySpec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub unresolved: Option<Unresolved>,
    #[serde(default)]
    pub created_disabled: bool,
    #[serde(default)]
    pub https_only: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incoming: Option<Incoming>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facets: Vec<FacetSpec>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_types: Vec<EventTypeSpec>,
}
