//! Array consistency: values found inside arrays must belong to the same element of each array.
//!
//! The search satisfies the conditions one after another in path order, each by a value that is compatible
//! with the array elements chosen for the earlier ones (event-ruler: `ACFinder`). A condition that a
//! missing field satisfies considers only elements compatible with those chosen so far. Failed states are
//! memoized by the elements that later conditions still depend on, so the cost stays near the number of
//! values instead of their product.

use std::collections::{HashMap, HashSet};

use antar_json::{OutOfSteps, Steps};

use crate::found::Found;
use crate::path::Link;

/// Whether array elements can be chosen so that all conditions in `open` are satisfied.
///
/// Only events that repeat a key, so that one path leads into many independent arrays, need more steps than
/// there are values.
pub(crate) fn satisfiable(open: &[&Found], steps: &Steps) -> Result<bool, OutOfSteps> {
    if let [only] = open {
        // An open condition has a value somewhere, and with no element chosen that value counts, so the
        // field is not missing.
        return Ok(!only.satisfying.is_empty());
    }
    let mut last_use = HashMap::new();
    for (at, found) in open.iter().enumerate() {
        steps.take(found.satisfying.links().len() as u64 + found.present.links().len() as u64)?;
        for link in found.satisfying.links().iter().chain(found.present.links()) {
            last_use.insert(link.array, at);
        }
    }
    let mut search = Search { open, last_use, chosen: Vec::new(), dead: HashSet::new(), steps };
    search.from(0)
}

struct Search<'a> {
    open: &'a [&'a Found],
    /// The last condition that depends on an array, by the array's address.
    last_use: HashMap<usize, usize>,
    chosen: Vec<Link>,
    /// Failed states: a condition, and the chosen elements that matter from it on.
    dead: HashSet<(usize, Vec<usize>)>,
    steps: &'a Steps,
}

impl Search<'_> {
    fn state(&self, at: usize) -> (usize, Vec<usize>) {
        let matters = |link: &&Link| self.last_use.get(&link.array).is_some_and(|last| *last >= at);
        let mut elements: Vec<_> =
            self.chosen.iter().filter(matters).map(|link| link.element).collect();
        elements.sort_unstable();
        (at, elements)
    }

    /// The recursion depth is the number of conditions, which the pattern's limits bound.
    fn from(&mut self, at: usize) -> Result<bool, OutOfSteps> {
        let Some(found) = self.open.get(at) else { return Ok(true) };
        // States compare the chosen elements, and a look for a place compares them with its links.
        self.steps.take(1 + self.chosen.len() as u64)?;
        if !self.dead.is_empty() && self.dead.contains(&self.state(at)) {
            return Ok(false);
        }
        if found.free && self.from(at + 1)? {
            return Ok(true);
        }
        if found.absent_possible
            && found.present.next_fitting(0, &self.chosen, self.steps)?.is_none()
            && self.from(at + 1)?
        {
            return Ok(true);
        }
        let mut next = found.satisfying.next_fitting(0, &self.chosen, self.steps)?;
        while let Some(place) = next {
            self.steps.take(1)?;
            let before = self.chosen.len();
            for link in found.satisfying.chain(place) {
                if !self.chosen.contains(link) {
                    self.chosen.push(*link);
                }
            }
            if self.from(at + 1)? {
                return Ok(true);
            }
            self.chosen.truncate(before);
            next = found.satisfying.next_fitting(place + 1, &self.chosen, self.steps)?;
        }
        self.dead.insert(self.state(at));
        Ok(false)
    }
}
