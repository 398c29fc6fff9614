//! Errors of compiling and rendering a template.

use serde::Serialize;

use crate::Cause;

/// Why a template was refused. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("line {line}, column {column}: {detail}{}", SuggestionSuffix(.suggestion.as_deref()))]
pub struct TemplateError {
    pub cause: Cause,
    pub line: usize,
    pub column: usize,
    /// The piece of the template that the error refers to.
    pub token: String,
    /// Description of the cause.
    pub detail: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

struct SuggestionSuffix<'a>(Option<&'a str>);

impl std::fmt::Display for SuggestionSuffix<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |suggestion| write!(f, " ({suggestion})"))
    }
}

/// Why a template could not be rendered over one event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error(
        "{token} is an object or an array here; a URL or header takes text, numbers and \
         booleans: name one field of it"
    )]
    NotScalar { token: String },
    #[error(
        "{token} has no value in this event; give it one with `default`, or choose another \
         treatment of unresolved tokens than `fail`"
    )]
    Unresolved { token: String },
    #[error(
        "the URL's path would get the segment {segment:?}, which leads to another folder; put \
         text beside the token or choose another value"
    )]
    PathSegment { segment: String },
    #[error("the host {host:?} is not in the webhook's list of allowed hosts; add it there")]
    Host { host: String },
    #[error("the rendered text is longer than {limit} bytes; send fewer fields")]
    TooLong { limit: usize },
    #[error("the loops take more than {limit} turns; loop over a shorter list")]
    TooManyTurns { limit: usize },
    #[error("rendering takes more than {limit} steps; use fewer loops and helpers")]
    TooMuchWork { limit: usize },
    /// The caller's budget is used up, which may be smaller than the limit of one rendering.
    #[error("rendering takes more steps than are left")]
    OutOfSteps,
    #[error("{token}: `{helper}` {detail}")]
    Helper { helper: &'static str, token: String, detail: String },
}

impl From<antar_json::OutOfSteps> for RenderError {
    fn from(_: antar_json::OutOfSteps) -> RenderError {
        RenderError::OutOfSteps
    }
}

/// A template names a secret that the tenant does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no secret named {name:?}; put it, or take it out of the template")]
pub struct MissingSecret {
    pub name: String,
}
