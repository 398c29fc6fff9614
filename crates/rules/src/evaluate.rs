//! The evaluator: decides whether a pattern matches an event. Explanations run the same code.

use antar_json::Value;

use crate::Part;
use crate::found::{Found, Standing};
use crate::search;

/// Whether all conditions can hold together in consistent array elements. None of `found` may have failed
/// on its own.
pub(crate) fn together<'f>(found: impl Iterator<Item = &'f Found> + Clone) -> bool {
    let mut open = found.clone().filter(|found| found.standing() == Standing::Open);
    if open.clone().next().is_none() {
        return true;
    }
    // Choosing an array element limits where a field has to be missing. So if a condition accepts a
    // missing field, a value inside an element may satisfy the conditions where a value outside can't.
    let narrowing = open.any(|found| found.absent_possible);
    let takes_part = |found: &&Found| {
        found.standing() == Standing::Open
            || (narrowing && found.free && !found.satisfying.is_empty())
    };
    search::satisfiable(&found.filter(takes_part).collect::<Vec<_>>())
}

pub(crate) fn matches(part: &Part, event: Value<'_>) -> bool {
    match &*part.alternatives {
        [only] => alternative(part, only, event),
        several => {
            // Alternatives share conditions: scan the event once for each.
            let mut known = Vec::new();
            known.resize_with(part.conditions.len(), || None);
            several.iter().any(|indexes| shared_alternative(part, indexes, event, &mut known))
        }
    }
}

fn alternative(part: &Part, indexes: &[u16], event: Value<'_>) -> bool {
    let all_values = part.asks_for_absence();
    let mut kept = Vec::new();
    for index in indexes {
        let found = Found::scan(&part.conditions[usize::from(*index)], event, all_values);
        match found.standing() {
            Standing::Held if !all_values => {}
            Standing::Held | Standing::Open => kept.push(found),
            Standing::Failed => return false,
        }
    }
    together(kept.iter())
}

fn shared_alternative(
    part: &Part,
    indexes: &[u16],
    event: Value<'_>,
    known: &mut [Option<Found>],
) -> bool {
    let all_values = part.asks_for_absence();
    for index in indexes.iter().map(|i| usize::from(*i)) {
        let found = known[index]
            .get_or_insert_with(|| Found::scan(&part.conditions[index], event, all_values));
        if found.standing() == Standing::Failed {
            return false;
        }
    }
    together(indexes.iter().filter_map(|index| known[usize::from(*index)].as_ref()))
}
