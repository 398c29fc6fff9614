//! Event patterns: the language of AWS EventBridge, with the semantics of its Java library
//! event-ruler, arrays included.
//!
//! There are two parts. A [`Pattern`] is parsed once and then decides about an event, alone, by
//! plain evaluation; [`Pattern::explain`] runs the same code and says what was missing. An
//! [`Index`] holds many patterns and only narrows: for an event it names the patterns that might
//! match, then each is evaluated. What the index leaves out can't match, so the two never
//! disagree about an event, and a fault in the index could only cost time or be found by
//! comparing it with the evaluator, which the tests do.
//!
//! This crate knows nothing of webhooks, tenants or storage; the event is any JSON document.

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

use antar_json::Value;

pub use error::PatternError;
pub use explain::Mismatch;
pub use index::Index;
pub use limits::Limits;

use matcher::Condition;

/// A pattern, parsed and checked. A clone costs one reference count.
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
    /// All must match, each judged on its own. None at all match everything.
    parts: Arc<[Arc<Part>]>,
}

/// One JSON pattern with its `$or`s multiplied out.
#[derive(Debug)]
pub(crate) struct Part {
    /// In the order in which they were written.
    pub(crate) conditions: Box<[Condition]>,
    /// Indexes of conditions that together suffice, sorted by path. The order decides what
    /// `exists: false` sees of an array, as in event-ruler (`GenericMachine` sorts its keys).
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
    /// Whatever event-ruler refuses, with a JSON pointer into `pattern`, and patterns beyond
    /// [`Limits::default`].
    pub fn parse(pattern: Value<'_>) -> Result<Pattern, PatternError> {
        Pattern::parse_within(pattern, &Limits::default())
    }

    /// As [`Pattern::parse`], with bounds of the caller's choice.
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

    /// Matches where every one of `parts` does. Each is judged on its own: conditions of
    /// different parts may hold in different elements of an array.
    #[must_use]
    pub fn all_of(parts: impl IntoIterator<Item = Pattern>) -> Pattern {
        Pattern { parts: parts.into_iter().flat_map(|p| p.parts.to_vec()).collect() }
    }

    /// Whether the event matches.
    #[must_use]
    pub fn matches(&self, event: Value<'_>) -> bool {
        self.parts.iter().all(|part| evaluate::matches(part, event))
    }

    /// Why the event does not match: the first condition that fails, of the alternative that
    /// comes nearest. `None` exactly where [`Pattern::matches`] is true.
    #[must_use]
    pub fn explain(&self, event: Value<'_>) -> Option<Mismatch> {
        self.parts.iter().find_map(|part| explain::explain(part, event))
    }

    /// The dotted paths that the pattern looks at, in written order; a path may come twice.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().flat_map(|part| part.conditions.iter()).map(|c| &*c.path)
    }

    pub(crate) fn parts(&self) -> &[Arc<Part>] {
        &self.parts
    }
}
