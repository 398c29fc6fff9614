//! Event patterns: the language of AWS EventBridge, with the semantics of its Java library
//! event-ruler, arrays included.
//!
//! The crate has two parts. A [`Pattern`] is parsed once and then evaluated against one event at a time;
//! [`Pattern::explain`] runs the same code and returns the condition that failed. An [`Index`] holds many
//! patterns and only narrows: for an event it selects the patterns that might match, then evaluates each
//! of them. Patterns that the index leaves out can't match, so index and evaluator never disagree about
//! an event. A bug in the index either only costs time or shows up in a comparison with the evaluator,
//! which the tests make.
//!
//! A pattern and an event may come from strangers, and their product may be large: every value is compared with
//! every operator of a list. [`Pattern::matches_within`] counts that work and gives up when it exceeds a budget.
//!
//! The crate does not depend on webhooks, tenants or storage; an event is any JSON document.

mod decimal;
mod error;
mod evaluate;
mod explain;
mod fold;
mod found;
mod index;
mod limits;
mod matcher;
mod operator;
mod parse;
mod path;
mod places;
mod search;
mod suggest;
mod wildcard;

use std::sync::Arc;

use antar_json::{OutOfSteps, Steps, Value};

pub use error::PatternError;
pub use explain::Mismatch;
pub use index::Index;
pub use limits::Limits;
pub use parse::cut;

use matcher::Condition;

/// A parsed and validated pattern. Cloning increments one reference count.
///
/// ```
/// use antar_rules::Pattern;
///
/// let pattern: antar_json::Document = r#"{"data": {"labels": [{"prefix": "vip"}]}}"#.parse()?;
/// let pattern = Pattern::parse(pattern.root())?;
/// let event: antar_json::Document = r#"{"data": {"labels": ["new", "vip-gold"]}}"#.parse()?;
/// assert!(pattern.matches(event.root()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pattern {
    /// All parts must match, each evaluated on its own. An empty list matches everything.
    parts: Arc<[Arc<Part>]>,
}

/// One JSON pattern with its `$or`s multiplied out.
#[derive(Debug)]
pub(crate) struct Part {
    /// In written order.
    pub(crate) conditions: Box<[Condition]>,
    /// Indexes of conditions that together suffice for a match, sorted by path. The order decides which
    /// elements of an array `exists: false` considers, as in event-ruler (`GenericMachine` sorts its keys).
    pub(crate) alternatives: Box<[Box<[u16]>]>,
}

impl Part {
    fn asks_for_absence(&self) -> bool {
        self.conditions.iter().any(|condition| condition.absent)
    }
}

impl Pattern {
    /// Reads a pattern. `{}` matches everything.
    ///
    /// # Errors
    /// Patterns that event-ruler refuses, with a JSON pointer into `pattern`, and patterns that exceed
    /// [`Limits::default`].
    pub fn parse(pattern: Value<'_>) -> Result<Pattern, PatternError> {
        Pattern::parse_within(pattern, &Limits::default())
    }

    /// Like [`Pattern::parse`], with limits chosen by the caller.
    ///
    /// # Errors
    /// See [`Pattern::parse`].
    pub fn parse_within(pattern: Value<'_>, limits: &Limits) -> Result<Pattern, PatternError> {
        let part = parse::parse(pattern, limits)?;
        if part.conditions.is_empty() {
            return Ok(Pattern::match_all());
        }
        Ok(Pattern { parts: Arc::new([Arc::new(part)]) })
    }

    /// The pattern that matches every event.
    #[must_use]
    pub fn match_all() -> Pattern {
        Pattern { parts: Arc::new([]) }
    }

    /// A pattern that matches if all `parts` match. Each part is evaluated on its own: conditions of
    /// different parts may hold in different elements of an array.
    #[must_use]
    pub fn all_of(parts: impl IntoIterator<Item = Pattern>) -> Pattern {
        Pattern { parts: parts.into_iter().flat_map(|p| p.parts.to_vec()).collect() }
    }

    /// Whether the event matches, however much work that is.
    #[must_use]
    pub fn matches(&self, event: Value<'_>) -> bool {
        self.matches_within(event, &Steps::unlimited()) == Ok(true)
    }

    /// Whether the event matches. One step is one key or value that is looked at, or one value that is compared
    /// with one operator.
    ///
    /// # Errors
    /// [`OutOfSteps`]: it is not known whether the event matches.
    pub fn matches_within(&self, event: Value<'_>, steps: &Steps) -> Result<bool, OutOfSteps> {
        for part in &*self.parts {
            if !evaluate::matches(part, event, steps)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Why the event does not match, however much work that is: see [`Pattern::explain_within`].
    #[must_use]
    pub fn explain(&self, event: Value<'_>) -> Option<Mismatch> {
        self.explain_within(event, &Steps::unlimited()).ok().flatten()
    }

    /// Why the event does not match: the first failing condition of the nearest alternative. `None` exactly
    /// if [`Pattern::matches_within`] is true.
    ///
    /// # Errors
    /// [`OutOfSteps`]: it is not known whether the event matches.
    pub fn explain_within(
        &self,
        event: Value<'_>,
        steps: &Steps,
    ) -> Result<Option<Mismatch>, OutOfSteps> {
        for part in &*self.parts {
            if let Some(mismatch) = explain::explain(part, event, steps)? {
                return Ok(Some(mismatch));
            }
        }
        Ok(None)
    }

    /// The dotted paths that the pattern has conditions on, in written order; a path may occur twice.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().flat_map(|part| part.conditions.iter()).map(|c| &*c.path)
    }

    pub(crate) fn parts(&self) -> &[Arc<Part>] {
        &self.parts
    }
}
