//! Array consistency: values found inside arrays must be of one element of each array.
//!
//! Conditions are satisfied one after the other, in the order of their paths, each by a value that
//! fits to the array elements that the ones before chose (event-ruler: `ACFinder`). A condition
//! that a missing field satisfies looks only at elements that fit to those chosen so far. States
//! that led nowhere are remembered by the elements that later conditions still depend on, so the
//! cost stays near the number of values instead of the product of them.

use std::collections::{HashMap, HashSet};

use crate::found::Found;
use crate::path::Link;

/// Steps after which the search ends with "no". Only events that repeat a key, so that one path
/// leads into many independent arrays, can need as many.
const STEPS_MAX: usize = 200_000;

/// Whether array elements can be chosen so that every one of `open` is satisfied.
pub(crate) fn satisfiable(open: &[&Found]) -> bool {
    if let [only] = open {
        // Open, and nothing is chosen yet, so a value anywhere is a value: not absent.
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
    /// States that led nowhere: a condition, and the elements chosen that matter from there on.
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

    /// Recursion depth is the number of conditions, which the pattern's limits bound.
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
