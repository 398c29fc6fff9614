//! The expression in a tag, ready to be evaluated.

use antar_json::Document;

use crate::helpers::Helper;

#[derive(Debug)]
pub(crate) enum Expression {
    Path(Path),
    /// `@index` or a similar variable, of the loop this many loops further out.
    Turn(usize, TurnVariable),
    Literal(Document),
    /// `antar.secret.NAME`, only as a hole of its own.
    Secret(String),
    /// `antar.attempt`
    Attempt,
    Call(Box<Call>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnVariable {
    Index,
    Key,
    First,
    Last,
}

#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) base: Base,
    pub(crate) steps: Vec<String>,
    /// The steps joined by dots, for keys that contain dots themselves.
    pub(crate) dotted: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Root,
    Antar,
    /// The context this many `each` and `with` blocks further out.
    Frame(usize),
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) helper: Helper,
    pub(crate) arguments: Vec<Expression>,
    pub(crate) options: Vec<(&'static str, Expression)>,
    /// The whole tag, for messages.
    pub(crate) token: String,
}

impl Expression {
    /// The value, if it is a literal.
    pub(crate) fn literal(&self) -> Option<&Document> {
        match self {
            Expression::Literal(document) => Some(document),
            _ => None,
        }
    }

    /// Whether this can only be an array, whatever the event.
    pub(crate) fn is_array(&self) -> bool {
        matches!(self, Expression::Call(call) if call.helper == Helper::Split)
    }
}
