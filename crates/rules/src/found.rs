//! What one condition finds in an event.

use std::ops::ControlFlow;

use antar_json::Value;

use crate::matcher::Condition;
use crate::path::{Visit, address};
use crate::places::Places;

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
    /// `all_values`: also look for values in array elements where one outside satisfies.
    pub(crate) fn scan(condition: &Condition, event: Value<'_>, all_values: bool) -> Found {
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
            if found.free && !all_values {
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
