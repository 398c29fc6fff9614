//! Settings as JSON documents: posted with a secret beside them, and saved as the base of a patch.

use antar_json::Document;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::body::read;
use super::error::Problem;
use super::patch;
use crate::model::{FieldError, Invalid, Secret};

/// Splits a document into its settings and its `secret`.
pub(crate) fn take_secret(document: &Document) -> Result<(Document, Option<Secret>), Problem> {
    let root = document.root();
    let secret = match root.get("secret") {
        None => None,
        Some(value) if value.is_null() => None,
        Some(value) => match value.as_str() {
            Some(text) => Some(Secret::new(text.into_owned())),
            None => return Err(Invalid::at("/secret", "is a string").into()),
        },
    };
    Ok((patch::without(root, &["secret"]), secret))
}

/// Reads settings from which the members in `beside` were removed. Errors about unknown fields list
/// these members too, since they can be misspelt as well.
pub(crate) fn settings<T: DeserializeOwned>(
    document: &Document,
    beside: &[&str],
) -> Result<T, Problem> {
    read(document).map_err(|mut problem| {
        let at_root = |error: &FieldError| error.pointer.matches('/').count() == 1;
        let unknown = |error: &FieldError| error.detail.starts_with("unknown field");
        for error in problem.errors.iter_mut().filter(|error| at_root(error) && unknown(error)) {
            for name in beside {
                let more = format!(", `{name}`");
                error.detail.push_str(&more);
                problem.detail.push_str(&more);
            }
        }
        problem
    })
}

/// A spec as the document that a patch is applied to.
pub(crate) fn saved(spec: &impl Serialize) -> Result<Document, Problem> {
    let text = serde_json::to_string(spec).map_err(Problem::internal)?;
    text.parse().map_err(Problem::internal)
}
