//! The evaluator: decides whether a pattern matches an event. Explanations run the same code.

use antar_json::{OutOfSteps, Steps, Value};

use crate::Part;
use crate::found::{Found, Standing};
use crate::search;

/// Whether all conditions can hold together in consistent array elements. None of `found` may have failed
/// on its own.
pub(crate) fn together<'f>(
    found: impl Iterator<Item = &'f Found> + Clone,
    steps: &Steps,
) -> Result<bool, OutOfSteps> {
    let mut open = found.clone().filter(|found| found.standing() == Standing::Open);
    if open.clone().next().is_none() {
        return Ok(true);
    }
    // Choosing an array element limits where a field has to be missing. So if a condition accepts a
    // missing field, a value inside an element may satisfy the conditions where a value outside can't.
    let narrowing = open.any(|found| found.absent_possible);
    let takes_part = |found: &&Found| {
        found.standing() == Standing::Open
            || (narrowing && found.free && !found.satisfying.is_empty())
    };
    search::satisfiable(&found.filter(takes_part).collect::<Vec<_>>(), steps)
}

pub(crate) fn matches(part: &Part, event: Value<'_>, steps: &Steps) -> Result<bool, OutOfSteps> {
    if let [only] = &*part.alternatives {
        return alternative(part, only, event, steps);
    }
    // Alternatives share conditions: scan the event once for each.
    steps.take(part.conditions.len() as u64)?;
    let mut scans = Scans { part, event, all_values: part.asks_for_absence(), known: Vec::new() };
    scans.known.resize_with(part.conditions.len(), || None);
    for indexes in &part.alternatives {
        if scans.satisfy(indexes, steps)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn alternative(
    part: &Part,
    indexes: &[u16],
    event: Value<'_>,
    steps: &Steps,
) -> Result<bool, OutOfSteps> {
    let all_values = part.asks_for_absence();
    let mut kept = Vec::new();
    for index in indexes {
        let found = Found::scan(&part.conditions[usize::from(*index)], event, all_values, steps)?;
        match found.standing() {
            Standing::Held if !all_values => {}
            Standing::Held | Standing::Open => kept.push(found),
            Standing::Failed => return Ok(false),
        }
    }
    together(kept.iter(), steps)
}

/// The scans of one event for the conditions of a part, each made when it is first needed.
struct Scans<'p, 'e> {
    part: &'p Part,
    event: Value<'e>,
    all_values: bool,
    known: Vec<Option<Found>>,
}

impl Scans<'_, '_> {
    /// Whether one alternative is satisfied.
    fn satisfy(&mut self, indexes: &[u16], steps: &Steps) -> Result<bool, OutOfSteps> {
        for index in indexes.iter().map(|i| usize::from(*i)) {
            steps.take(1)?;
            let found = match &self.known[index] {
                Some(found) => found,
                None => {
                    let condition = &self.part.conditions[index];
                    let found = Found::scan(condition, self.event, self.all_values, steps)?;
                    self.known[index].insert(found)
                }
            };
            if found.standing() == Standing::Failed {
                return Ok(false);
            }
        }
        let found = indexes.iter().filter_map(|index| self.known[usize::from(*index)].as_ref());
        together(found, steps)
    }
}
