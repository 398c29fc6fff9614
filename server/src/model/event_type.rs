//! Event types: the entries of a tenant's catalog.

use antar_json::Document;
use serde::{Deserialize, Serialize};

use super::{EventType, RetentionSpec};

/// Who sends: the product (its webhooks carry it out), or an outside system through a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    #[default]
    Outgoing,
    Incoming,
}

/// What a miss against the schema does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SchemaMode {
    /// The event is accepted and marked.
    #[default]
    Mark,
    /// The event is refused.
    Reject,
}

/// A type of event: what it means, looks like and carries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTypeSpec {
    pub name: EventType,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub direction: Direction,
    /// JSON Schema of `data`. Left out, anything goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub schema: Option<Document>,
    #[serde(default)]
    pub schema_mode: SchemaMode,
    /// A `data` to preview and test with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub example: Option<Document>,
    /// Attributes that go with the example.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub example_attributes: std::collections::BTreeMap<String, String>,
    /// How long events of this type are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionSpec>,
}
