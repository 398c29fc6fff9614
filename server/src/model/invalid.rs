//! Errors in an input, field by field.

use serde::Serialize;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// RFC 6901 pointer into the posted document; empty for the whole of it.
    pub pointer: String,
    /// What is wrong and what to do.
    pub detail: String,
    /// Line inside a text field such as a template, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column inside that line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> FieldError {
        FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
            line: None,
            column: None,
            suggestion: None,
        }
    }
}

/// A rejected input. `code` is an entry of the problem catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {}", .errors.iter().map(|e| format!("{} {}", e.pointer, e.detail)).collect::<Vec<_>>().join("; "))]
pub struct Invalid {
    pub code: &'static str,
    pub errors: Vec<FieldError>,
}

impl Invalid {
    /// One error with the code `invalid`.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Invalid {
        Invalid { code: "invalid", errors: vec![FieldError::new(pointer, detail)] }
    }
}
