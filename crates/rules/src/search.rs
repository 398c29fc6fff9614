//! Array consistency: values found inside arrays must belong to the same element of each array.
//!
//! The search satisfies the conditions one after another in path order, each by a value that is compatible
//! with the array elements chosen for the earlier ones (event-ruler: `ACFinder`). A condition that a
//! missing field satisfies considers only elements compatible with those chosen so far. Failed states are
//! memoized by the elements that later conditions still depend on, so the cost stays near the number of
//! values instead of their product.

use std::collections::{HashMap, HashSet};

use crate::found::Found;
use crate::path::Link;

/// Steps after which the search gives up with "no". Only events that repeat a key, so that one path leads
/// into many independent arrays, can need that many.
const STEPS_MAX: usize = 200_000;

/// Whether array elements can be chosen so that all conditions in `open` are satisfied.
pub(crate) fn satisfiable(open: &[&Found]) -> bool {
    if let [only] = open {
        // An open condition has a value somewhere, and with no element chosen that value counts, so the
        // field is not missing.
        return !only.satisfying.is_empty();
    }
    let mut last_use = HashMap::new();
    for (at, found) in open.iter().enumerate() {
        for link in found.satisfying.links().iter().chain(found.present.links()) {
            last_use.insert(link.array, at);
        }
    }
    let mut search =
        Search { open, last_use, chosen: Vec::new(), dead: HashSet::new(), steps_left: STEPS_MAX };
    search.from(0)
}

struct Search<'a> {
    open: &'a [&'a Found],
    /// The last condition that depends on an array, by the array's address.
    last_use: HashMap<usize, usize>,
    chosen: Vec<Link>,
    /// Failed states: a condition, and the chosen elements that matter from it on.
    dead: HashSet<(usize, Vec<usize>)>,
    steps_left: usize,
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
    fn from(&mut self, at: usize) -> bool {
        let Some(found) = self.open.get(at) else { return true };
        if !self.dead.is_empty() && self.dead.contains(&self.state(at)) {
            return false;
        }
        if found.free && self.from(at + 1) {
            return true;
        }
        if found.absent_possible
            && found.present.next_fitting(0, &self.chosen).is_none()
            && self.from(at + 1)
        {
            return true;
        }
        let mut next = found.satisfying.next_fitting(0, &self.chosen);
        while let Some(place) = next {
            let Some(left) = self.steps_left.checked_sub(1) else { return false };
            self.steps_left = left;
            let before = self.chosen.len();
            for link in found.satisfying.chain(place) {
                if !self.chosen.contains(link) {
                    self.chosen.push(*link);
                }
            }
            if self.from(at + 1) {
                return true;
            }
            self.chosen.truncate(before);
            next = found.satisfying.next_fitting(place + 1, &self.chosen);
        }
        self.dead.insert(self.state(at));
        false
    }
}
