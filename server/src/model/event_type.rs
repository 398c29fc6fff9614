//! Event types: the entries of a tenant's catalog.

use std::sync::Arc;

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

/// A JSON value as its compact text. Clones share the text; it is parsed where somebody looks into it, because
/// that is seldom, and the positions of its values take more memory than the text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct JsonText(Arc<str>);

impl JsonText {
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn document(&self) -> Document {
        // The text was written by a document.
        self.0.parse().unwrap_or_else(|_| Document::empty_object())
    }
}

impl From<&Document> for JsonText {
    fn from(document: &Document) -> JsonText {
        JsonText(document.text().into())
    }
}

impl Serialize for JsonText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &serde_json::value::RawValue =
            serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<JsonText, D::Error> {
        Document::deserialize(deserializer).map(|document| JsonText::from(&document))
    }
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
    pub schema: Option<JsonText>,
    #[serde(default)]
    pub schema_mode: SchemaMode,
    /// A `data` to preview and test with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub example: Option<JsonText>,
    /// Attributes that go with the example.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub example_attributes: std::collections::BTreeMap<String, String>,
    /// How long events of this type are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionSpec>,
}
