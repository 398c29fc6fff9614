//! Extracts facet values from events.

use antar_json::{Kind, Value};

use crate::model::FacetSpec;

/// The scalars at a facet's path, as text; an array yields its elements.
pub(crate) fn values(spec: &FacetSpec, document: Value<'_>) -> Vec<String> {
    scalars_at(&spec.path, document)
}

/// The scalars at a path below `data`.
pub(crate) fn scalars_at(path: &str, document: Value<'_>) -> Vec<String> {
    let Some(found) = document.get("data").and_then(|data| data.at(path)) else {
        return Vec::new();
    };
    let text = |value: Value<'_>| match value.as_str() {
        Some(text) => text.into_owned(),
        None => value.raw().to_owned(),
    };
    match found.kind() {
        Kind::Array => found.elements().map(text).collect(),
        Kind::Null => Vec::new(),
        _ => vec![text(found)],
    }
}
