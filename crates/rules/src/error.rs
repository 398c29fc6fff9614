//! The error for a refused pattern: what is wrong, and where.

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("{detail}{}", at(pointer))]
pub struct PatternError {
    /// RFC 6901 pointer into the pattern; empty for the whole.
    pub pointer: String,
    /// What is wrong and what to write instead.
    pub detail: String,
}

fn at(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!(" (at {pointer})") }
}

/// Appends one reference token, escaped as RFC 6901 §3 requires.
pub(crate) fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    for c in token.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}
