//! The plain evaluator: it decides, and the explanation asks the same questions.

use std::ops::ControlFlow;

use antar_json::Value;

use crate::Part;
use crate::matcher::Condition;
use crate::path::{Visit, address};
use crate::search::{self, Places};

/// What one condition found in an event.
#[derive(Default)]
pub(crate) struct Found {
    /// A value outside any array element satisfies it: whatever else is chosen fits to that.
    pub(crate) free: bool,
    /// A missing field satisfies it, and no value outside array elements is there.
    pub(crate) absent_possible: bool,
    /// The array elements of the values that satisfy it.
    pub(crate) satisfying: Places,
    /// The array elements of all values, for conditions that a missing field satisfies.
    pub(crate) present: Places,
}

/// How a condition stands when nothing else is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Satisfied, whatever array elements the others need.
    Held,
    /// Not satisfied anywhere.
    Failed,
    /// It depends on the array elements that the others need.
    Open,
}

impl Found {
    /// `match_all`: also look for values in array elements where one outside satisfies.
    pub(crate) fn scan(condition: &Condition, event: Value<'_>, match_all: bool) -> Found {
        let mut found = Found { absent_possible: condition.absent, ..Found::default() };
        Visit::run(event, &condition.segments, |value, chain| {
            if condition.absent {
                found.absent_possible &= !chain.is_empty();
                found.present.add(address(value), chain);
            }
            if condition.accepts.value(value) {
                if chain.is_empty() {
                    found.free = true;
                } else {
                    found.satisfying.add(address(value), chain);
                }
            }
            if found.free && !match_all {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        found
    }

    pub(crate) fn standing(&self) -> Standing {
        if self.free || (self.absent_possible && self.present.is_empty()) {
            Standing::Held
        } else if self.satisfying.is_empty() && !self.absent_possible {
            Standing::Failed
        } else {
            Standing::Open
        }
    }
}

/// Whether conditions that hold or fail alone do not contradict each other. None of `found` failed.
pub(crate) fn together<'f>(found: impl Iterator<Item = &'f Found> + Clone) -> bool {
    let mut open = found.clone().filter(|found| found.standing() == Standing::Open);
    if open.clone().next().is_none() {
        return true;
    }
    // Choosing an element narrows what a missing field is missing from. So where one is asked for,
    // a value in an element may do what one outside cannot.
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
            // Alternatives share conditions: each is looked up once.
            let mut known = Vec::new();
            known.resize_with(part.conditions.len(), || None);
            several.iter().any(|indexes| shared_alternative(part, indexes, event, &mut known))
        }
    }
}

fn alternative(part: &Part, indexes: &[u16], event: Value<'_>) -> bool {
    let match_all = part.asks_for_absence();
    let mut kept = Vec::new();
    for index in indexes {
        let found = Found::scan(&part.conditions[usize::from(*index)], event, match_all);
        match found.standing() {
            Standing::Held if !match_all => {}
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
    let match_all = part.asks_for_absence();
    for index in indexes.iter().map(|i| usize::from(*i)) {
        let found = known[index]
            .get_or_insert_with(|| Found::scan(&part.conditions[index], event, match_all));
        if found.standing() == Standing::Failed {
            return false;
        }
    }
    together(indexes.iter().filter_map(|index| known[usize::from(*index)].as_ref()))
}
