//! Sources: incoming URLs whose calls become events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a call from outside becomes one or more events. Templates and paths look at
/// `{"method", "path", "query", "headers", "body"}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
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
    #[serde(default = "yes")]
    pub enabled: bool,
}

pub(super) fn yes() -> bool {
    true
}
