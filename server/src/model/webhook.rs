//! Webhooks: outgoing subscriptions, as their owner writes them.

use std::collections::BTreeMap;

use antar_json::Document;
use antar_template::Unresolved;
use serde::{Deserialize, Serialize};

use super::{Dedupe, Ordering, PluginUse, RetrySpec, Signer, TypeFilter};

/// Header names and their templates, in written order.
pub type Headers = serde_json::Map<String, serde_json::Value>;

/// Whether a header belongs to the HTTP connection, and can't be set: those that frame a message, that lead
/// it, and that hold for one hop (RFC 9110 §7.6.1), among them all that begin with `Proxy-`.
#[must_use]
pub fn is_of_connection(header: &str) -> bool {
    const NAMES: [&str; 10] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "http2-settings",
    ];
    let of_proxy = header.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("proxy-"));
    of_proxy || NAMES.iter().any(|name| name.eq_ignore_ascii_case(header))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Post,
    Put,
    Patch,
    Get,
    Delete,
}

impl Method {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Get => "GET",
            Method::Delete => "DELETE",
        }
    }
}

/// What a webhook wants of one facet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum FacetFilter {
    /// Any of these values.
    Any(Vec<String>),
    /// None of these values: `{"none": […]}`.
    None { none: Vec<String> },
    /// All of these values: `{"all": […]}`.
    All { all: Vec<String> },
}

/// Bounds on how hard a receiver is hit.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_max: Option<u32>,
    /// Webhooks of a tenant that name the same share count together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
}

/// A webhook as its owner writes it. What is left out comes from the profile.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSpec {
    /// Unique in its tenant.
    pub name: String,
    /// Left out at creation: true, unless the profile says `created_disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Left out: the tenant's, else `standard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// `*`, types, or `a.*`.
    pub event_types: Vec<TypeFilter>,
    /// An event pattern; empty matches everything.
    #[serde(default = "Document::empty_object", skip_serializing_if = "is_empty_object")]
    #[schema(value_type = Object)]
    pub rule: Document,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facets: BTreeMap<String, FacetFilter>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginUse>,
    /// False: `method`, `headers` and `body` are kept but not used; the profile's default payload
    /// is posted.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub custom_payload: bool,
    #[serde(default)]
    pub method: Method,
    /// A template.
    pub url: String,
    /// Templates by header name, in written order.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub headers: Headers,
    /// A template; left out: the profile's default payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Hosts that a variable in the host part of `url` may become.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts_allowed: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub unresolved: Option<Unresolved>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signers: Option<Vec<Signer>>,
    /// An event pattern over `{"status", "headers", "body"}` of the answer; empty: any 2xx.
    #[serde(default = "Document::empty_object", skip_serializing_if = "is_empty_object")]
    #[schema(value_type = Object)]
    pub success: Document,
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: RetrySpec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: LimitsSpec,
    /// The first attempt is made so many seconds after the event was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_s: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub ordering: Ordering,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<Dedupe>,
}

fn yes() -> bool {
    true
}

fn is_empty_object(document: &Document) -> bool {
    document.text() == "{}"
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
