//! Explains why an event does not match a pattern.

use std::fmt;

use antar_json::{OutOfSteps, Steps, Value};

use crate::Part;
use crate::evaluate;
use crate::found::{Found, Standing};
use crate::matcher::Condition;
use crate::parse::cut;
use crate::path::reach;

/// Bytes of the found value that are shown at most.
const FOUND_BYTES_MAX: usize = 200;

/// Values shown at most if a path leads into several array elements.
const FOUND_COUNT_MAX: usize = 10;

/// The condition that kept an event from matching.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mismatch {
    /// The dotted path of the field.
    pub path: String,
    /// The JSON text of the list in the pattern, cut to about 500 bytes.
    pub condition: String,
    /// The raw JSON of the event at the path, cut to about 200 bytes; several values of an array's
    /// elements are separated by commas. `None` if the event has nothing at the path.
    pub found: Option<String>,
    /// Each condition holds somewhere, but not in one and the same array element.
    pub apart: bool,
    /// Number of `$or` alternatives; the mismatch describes the nearest one. 1 without `$or`.
    pub alternatives: usize,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the rule wants `{}` to be {}", self.path, self.condition)?;
        if self.apart {
            f.write_str(" in the same array element as its other conditions")?;
        }
        match &self.found {
            Some(found) => write!(f, "; it was {found}")?,
            None => f.write_str("; it was missing")?,
        }
        if self.alternatives > 1 {
            write!(f, " (the nearest of {} alternatives)", self.alternatives)?;
        }
        Ok(())
    }
}

pub(crate) fn explain(
    part: &Part,
    event: Value<'_>,
    steps: &Steps,
) -> Result<Option<Mismatch>, OutOfSteps> {
    if evaluate::matches(part, event, steps)? {
        return Ok(None);
    }
    let match_all = part.asks_for_absence();
    let scan = |condition| Found::scan(condition, event, match_all, steps);
    let found = part.conditions.iter().map(scan).collect::<Result<Vec<Found>, _>>()?;
    let failing = |indexes: &[u16]| -> Vec<u16> {
        let failed = |i: &u16| found[usize::from(*i)].standing() == Standing::Failed;
        indexes.iter().copied().filter(failed).collect()
    };
    let nearest = part.alternatives.iter().min_by_key(|indexes| failing(indexes).len());
    let Some(nearest) = nearest else { return Ok(None) };
    let alone = failing(nearest).into_iter().min();
    let apart = if alone.is_none() { first_apart(nearest, &found, steps)? } else { None };
    let Some(index) = alone.or(apart).or(nearest.first().copied()) else { return Ok(None) };
    let condition = &part.conditions[usize::from(index)];
    Ok(Some(Mismatch {
        path: condition.path.to_string(),
        condition: condition.wanted.to_string(),
        found: found_at(condition, event),
        apart: alone.is_none(),
        alternatives: part.alternatives.len(),
    }))
}

/// The first condition that can't be satisfied together with those before it, by path.
fn first_apart(indexes: &[u16], found: &[Found], steps: &Steps) -> Result<Option<u16>, OutOfSteps> {
    let of = |index: &u16| &found[usize::from(*index)];
    for (at, index) in indexes.iter().enumerate() {
        if !evaluate::together(indexes[..=at].iter().map(of), steps)? {
            return Ok(Some(*index));
        }
    }
    Ok(None)
}

fn found_at(condition: &Condition, event: Value<'_>) -> Option<String> {
    let mut values = Vec::new();
    reach(event, &condition.segments, FOUND_COUNT_MAX, &mut values, 0);
    let texts: Vec<_> = values.iter().map(|value| value.raw()).collect();
    (!texts.is_empty()).then(|| cut(&texts.join(", "), FOUND_BYTES_MAX))
}
