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
    /// A mistake in the template at `pointer`.
    #[must_use]
    pub fn in_template(pointer: &str, error: antar_template::TemplateError) -> FieldError {
        FieldError {
            pointer: pointer.to_owned(),
            detail: error.detail,
            line: Some(error.line),
            column: Some(error.column),
            suggestion: error.suggestion,
        }
    }

    /// The error of a part of a document, as one of the whole.
    #[must_use]
    pub fn below(self, part: &str) -> FieldError {
        FieldError { pointer: format!("{part}{}", self.pointer), ..self }
    }

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

/// A key as a token of a JSON pointer (RFC 6901 §3).
#[must_use]
pub fn pointer_token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
