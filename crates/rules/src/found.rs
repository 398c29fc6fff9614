//! Scans an event for the values that satisfy one condition.

use std::ops::ControlFlow;

use antar_json::{OutOfSteps, Steps, Value};

use crate::matcher::Condition;
use crate::path::{Visit, address};
use crate::places::Places;

/// Result of scanning an event for one condition.
#[derive(Default)]
pub(crate) struct Found {
    /// A value outside any array element satisfies the condition; it is compatible with every choice of
    /// elements.
    pub(crate) free: bool,
    /// A missing field satisfies the condition, and the event has no value outside array elements.
    pub(crate) absent_possible: bool,
    /// The array elements of the values that satisfy the condition.
    pub(crate) satisfying: Places,
    /// The array elements of all values; only filled for conditions that a missing field satisfies.
    pub(crate) present: Places,
}

/// State of a condition on its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Satisfied, whatever array elements the other conditions need.
    Held,
    /// Not satisfied anywhere.
    Failed,
    /// Depends on the array elements that the other conditions need.
    Open,
}

impl Found {
    /// `all_values`: collect the values in array elements even if one outside satisfies the condition.
    pub(crate) fn scan(
        condition: &Condition,
        event: Value<'_>,
        all_values: bool,
        steps: &Steps,
    ) -> Result<Found, OutOfSteps> {
        let mut found = Found { absent_possible: condition.absent, ..Found::default() };
        Visit::run(event, &condition.segments, steps, |value, chain| {
            let bytes = value.raw().len() as u64;
            steps.take(chain.len() as u64 + condition.weight * (1 + bytes / 32))?;
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
            Ok(if found.free && !all_values {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        Ok(found)
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
