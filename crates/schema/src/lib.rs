//! JSON Schemas whose validation takes a bounded number of steps.
//!
//! A schema of a few hundred bytes can keep a validator busy for years: fifty definitions that each refer
//! twice to the next one double the work fifty times. The validator has no budget, so the work is bounded
//! before it begins. A schema is read as a graph of subschemas (`graph`); from that follows how much one
//! value may cost at each depth of a document (`cost`), and with the number of values at each depth an upper
//! bound of the whole validation. The same schema and document always give the same bound. A validator calls
//! itself for each subschema, so how deep its calls nest is bounded too, or it would run out of stack.
//!
//! One step stands for one subschema that is evaluated for one value, for one member of an `enum`, or for
//! sixteen bytes of a string and one byte of a `pattern`.

mod cost;
mod graph;
mod instance;
mod patterns;

use std::fmt::Write as _;

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

pub use cost::DEPTH_MAX;

use self::cost::Costs;

/// Values of a document that are this shallow must be affordable, or the schema is refused.
const SHALLOW_DEPTH: usize = 4;

/// How deep the calls of a validator may nest; a thread has room for several times as many.
const CALLS_MAX: u64 = 400;
/// Mismatches that are listed, and the length of each in bytes.
const MISMATCHES_MAX: usize = 20;
const DETAIL_BYTES_MAX: usize = 1_000;

/// Bounds of a schema.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Subschemas, counted where they are written.
    pub subschemas_max: usize,
    /// Steps of one validation.
    pub steps_max: u64,
    /// Memory of all compiled regular expressions.
    pub pattern_bytes_max: usize,
}

/// A schema that is compiled, and what it costs.
pub struct Schema {
    validator: Validator,
    /// Steps for one value by its depth in the document, from 0.
    steps_at: Vec<u64>,
    /// How deep the calls nest for a document of each depth, from 0.
    calls_at: Vec<u64>,
    steps_max: u64,
}

/// The cache of a regular expression; a small one makes matching slower, not wrong.
const DFA_BYTES_MAX: usize = 64 << 10;

/// Why a schema is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("it has more than {0} subschemas")]
    TooManySubschemas(usize),
    #[error(
        "`$ref` to `{0}` leads to nothing in this schema; references to other documents are not followed"
    )]
    UnknownReference(String),
    #[error("`{0}` is not supported, because its target depends on the document; use `$ref`")]
    Unsupported(&'static str),
    #[error("`{0}` may stand at the top of a schema only; refer to parts by `$ref` and `$anchor`")]
    Embedded(&'static str),
    #[error("the anchor `{0}` is there twice")]
    AmbiguousAnchor(String),
    #[error("`{0}` refers to itself without going into the value")]
    Cycle(String),
    #[error(
        "validating a single value may take {steps} steps, {max} are allowed: references multiply, so write \
         alternatives or parts fewer times"
    )]
    TooManySteps { steps: u64, max: u64 },
    #[error(
        "its subschemas nest {calls} deep for one value, {max} are allowed; shorten its chains of references"
    )]
    TooDeep { calls: u64, max: u64 },
    #[error(
        "its regular expressions take more than {bytes_max} bytes when they are compiled; repeat fewer times, or use \
         classes such as [a-z] in place of \\w"
    )]
    TooLargePatterns { bytes_max: usize },
    #[error("{detail} (at {pointer})")]
    Invalid { detail: String, pointer: String },
}

/// Why a document is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Miss {
    /// The document does not follow the schema.
    #[error("{detail}")]
    Mismatch {
        /// JSON pointer into the document.
        pointer: String,
        detail: String,
    },
    /// Validation may take more steps than are allowed; it was not begun.
    #[error("validating it may take {steps} steps, {max} are allowed")]
    BudgetExceeded { steps: u64, max: u64 },
    /// The subschemas nest too deep for a document of this depth; validation was not begun.
    #[error("its values and the schema's parts nest {calls} deep together, {max} are allowed")]
    TooDeep { calls: u64, max: u64 },
}

impl Schema {
    /// Reads, bounds and compiles a schema.
    ///
    /// # Errors
    /// [`SchemaError`], before any work that is not bounded.
    pub fn compile(schema: &Value, limits: Limits) -> Result<Schema, SchemaError> {
        let graph = graph::Graph::read(schema, limits.subschemas_max)?;
        let Costs { steps_at, calls_at } = cost::costs(&graph)?;
        let calls = calls_at.get(SHALLOW_DEPTH).copied().unwrap_or_default();
        if calls > CALLS_MAX {
            return Err(SchemaError::TooDeep { calls, max: CALLS_MAX });
        }
        let shallow = steps_at.iter().take(SHALLOW_DEPTH + 1).max().copied().unwrap_or_default();
        if shallow > limits.steps_max {
            return Err(SchemaError::TooManySteps { steps: shallow, max: limits.steps_max });
        }
        // Patterns are matched in linear time: no look-around, no back-references.
        patterns::check_memory(&graph.patterns, limits.pattern_bytes_max)?;
        let bounded = PatternOptions::regex()
            .size_limit(limits.pattern_bytes_max)
            .dfa_size_limit(DFA_BYTES_MAX);
        // As in the newest drafts, `format` says something to people. Some formats take quadratic time.
        let options =
            jsonschema::options().with_pattern_options(bounded).should_validate_formats(false);
        let validator = options.build(schema).map_err(|error| SchemaError::Invalid {
            detail: error.to_string(),
            pointer: error.instance_path().to_string(),
        })?;
        Ok(Schema { validator, steps_at, calls_at, steps_max: limits.steps_max })
    }

    /// An upper bound of the steps that a document takes.
    #[must_use]
    pub fn steps(&self, document: &Value) -> u64 {
        self.steps_of(&instance::weight_by_depth(document))
    }

    fn steps_of(&self, weights: &[u64]) -> u64 {
        let cost = |(depth, weight): (usize, &u64)| {
            self.steps_at.get(depth).map_or(u64::MAX, |steps| steps.saturating_mul(*weight))
        };
        weights.iter().enumerate().map(cost).fold(0, u64::saturating_add)
    }

    /// Validates a document, if that is affordable.
    ///
    /// # Errors
    /// [`Miss`], the first one.
    pub fn validate(&self, document: &Value) -> Result<(), Miss> {
        self.cost(document)?;
        self.validate_affordable(document)
    }

    /// The steps that a document takes, if they are affordable.
    ///
    /// # Errors
    /// `BudgetExceeded`, `TooDeep`.
    pub fn cost(&self, document: &Value) -> Result<u64, Miss> {
        let weights = instance::weight_by_depth(document);
        let depth = weights.len().saturating_sub(1);
        let calls = self.calls_at.get(depth).copied().unwrap_or(u64::MAX);
        if calls > CALLS_MAX {
            return Err(Miss::TooDeep { calls, max: CALLS_MAX });
        }
        let (steps, max) = (self.steps_of(&weights), self.steps_max);
        if steps > max { Err(Miss::BudgetExceeded { steps, max }) } else { Ok(steps) }
    }

    /// Validates a document whose cost is known to be affordable.
    ///
    /// # Errors
    /// `Mismatch`, the first one.
    pub fn validate_affordable(&self, document: &Value) -> Result<(), Miss> {
        self.validator.validate(document).map_err(|error| Miss::Mismatch {
            pointer: error.instance_path().to_string(),
            detail: detail(&error),
        })
    }

    /// The first mismatches of a document: pointers and sentences.
    ///
    /// # Errors
    /// `BudgetExceeded`, `TooDeep`.
    pub fn mismatches(&self, document: &Value) -> Result<Vec<(String, String)>, Miss> {
        self.cost(document)?;
        let errors = self.validator.iter_errors(document).take(MISMATCHES_MAX);
        Ok(errors.map(|error| (error.instance_path().to_string(), detail(&error))).collect())
    }
}

/// A sentence about a mismatch; a long value is cut.
fn detail(error: &ValidationError<'_>) -> String {
    let mut text = Cut(String::new());
    // An error means that the sentence is longer.
    if write!(text, "{error}").is_err() {
        text.0.push('…');
    }
    text.0
}

/// Takes text up to [`DETAIL_BYTES_MAX`].
struct Cut(String);

impl std::fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = DETAIL_BYTES_MAX - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        if text.len() > room { Err(std::fmt::Error) } else { Ok(()) }
    }
}
