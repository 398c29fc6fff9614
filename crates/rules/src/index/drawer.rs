//! Nested buckets, called drawers, in which patterns are filed by sign.

use super::fact::{Clause, Fact};
use super::reading::{Shown, SignMap, Signs};
use super::sign::Probe;

/// Patterns filed under one sign; the outermost drawer has none.
#[derive(Default)]
pub(crate) struct Drawer {
    entries: Vec<Entry>,
    /// Drawers inside this one, keyed by a further sign. Boxed because most drawers have none.
    inner: Option<Box<SignMap<Drawer>>>,
}

/// One place of a rule in a drawer.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) slot: u32,
    /// Index into the rule's places.
    pub(crate) place: u32,
    /// Further signs that an event must show; [`NO_CHECK`] requires nothing. They avoid most evaluations
    /// without reading the pattern.
    checks: Checks,
}

type Checks = [u64; CHECKS_MAX];

const CHECKS_MAX: usize = 3;
const NO_CHECK: u64 = 0;

/// Location of an [`Entry`], for removing it.
pub(crate) struct Place {
    /// The signs that lead to its drawer, outermost first.
    pub(crate) signs: Box<[u64]>,
    pub(crate) checks: Checks,
    /// The position in the drawer's entries.
    pub(crate) at: u32,
}

/// Entries that a drawer holds before it files by a further sign: comparing the checks of this many costs
/// about as much as looking up inner drawers.
const ENTRIES_MAX: usize = 64;

/// Signs that a pattern is filed under at most.
const SIGNS_MAX: usize = 4;

/// Facts of a clause used inside a drawer at most, and places of one pattern at most: each place costs
/// memory.
const INNER_FACTS_MAX: usize = 8;
const PLACES_MAX: usize = 64;

/// State of filing one pattern.
pub(crate) struct Filing<'a, 'p> {
    pub(crate) slot: u32,
    pub(crate) signs: &'a mut Signs,
    pub(crate) places: Vec<Place>,
    chain: Vec<&'a Fact<'p>>,
}

impl<'a, 'p> Filing<'a, 'p> {
    pub(crate) fn new(slot: u32, signs: &'a mut Signs) -> Filing<'a, 'p> {
        Filing { slot, signs, places: Vec::new(), chain: Vec::new() }
    }

    /// Files the pattern under one clause after another while drawers are full. `clauses` holds the unused
    /// ones, rarest first.
    pub(crate) fn file(&mut self, drawer: &mut Drawer, clauses: &[&'a Clause<'p>]) {
        let Some(next) = self.next_clause(drawer, clauses) else {
            return self.place(drawer, clauses);
        };
        let rest = [&clauses[..next], &clauses[next + 1..]].concat();
        let inner = drawer.inner.get_or_insert_default();
        for fact in &clauses[next].facts {
            self.chain.push(fact);
            self.file(inner.entry(fact.sign).or_default(), &rest);
            self.chain.pop();
        }
    }

    /// Index of the clause to file by inside `drawer`; `None` to add the entry to `drawer` itself.
    fn next_clause(&self, drawer: &Drawer, clauses: &[&Clause<'p>]) -> Option<usize> {
        if self.chain.is_empty() {
            // Every event scans the outermost drawer, so it holds only patterns without clauses.
            return (!clauses.is_empty()).then_some(0);
        }
        let full = drawer.entries.len() >= ENTRIES_MAX
            && self.chain.len() < SIGNS_MAX
            && self.places.len() < PLACES_MAX;
        let fits = |clause: &&Clause<'_>| {
            let rare = clause.facts.iter().all(|fact| fact.probe != Probe::Present);
            rare && clause.facts.len() <= INNER_FACTS_MAX
        };
        if full { clauses.iter().position(fits) } else { None }
    }

    /// Adds an entry to `drawer`, with checks from the clauses that the pattern is not filed under.
    fn place(&mut self, drawer: &mut Drawer, rest: &[&'a Clause<'p>]) {
        let mut checks = [NO_CHECK; CHECKS_MAX];
        let single = rest.iter().filter_map(|clause| match clause.facts.as_slice() {
            [only] if only.probe != Probe::Present && only.sign != NO_CHECK => Some(only),
            _ => None,
        });
        for (check, fact) in checks.iter_mut().zip(single) {
            *check = fact.sign;
            self.signs.acquire(fact.sign, fact.segments, fact.probe);
        }
        self.chain.iter().for_each(|fact| self.signs.acquire(fact.sign, fact.segments, fact.probe));
        let signs = self.chain.iter().map(|fact| fact.sign).collect();
        let place = number(self.places.len());
        self.places.push(Place { signs, checks, at: number(drawer.entries.len()) });
        drawer.entries.push(Entry { slot: self.slot, place, checks });
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Drawer {
    /// Removes an entry. The last entry of its drawer moves to its position and is returned.
    pub(crate) fn remove(&mut self, signs: &[u64], at: u32) -> Option<Entry> {
        let Some((sign, rest)) = signs.split_first() else {
            let at = at as usize;
            if at < self.entries.len() {
                self.entries.swap_remove(at);
            }
            if self.entries.is_empty() {
                self.entries = Vec::new();
            }
            return self.entries.get(at).copied();
        };
        let inner = self.inner.as_deref_mut()?;
        let drawer = inner.get_mut(sign)?;
        let moved = drawer.remove(rest, at);
        if drawer.is_blank() {
            inner.remove(sign);
            if inner.is_empty() {
                self.inner = None;
            }
        }
        moved
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.entries.is_empty() && self.inner.is_none()
    }

    /// Adds the slots of all patterns filed under the signs that an event shows.
    pub(crate) fn collect(&self, shown: &Shown, out: &mut Vec<u32>) {
        let passed = |entry: &&Entry| entry.checks.iter().all(|c| *c == NO_CHECK || shown.has(*c));
        out.extend(self.entries.iter().filter(passed).map(|entry| entry.slot));
        let Some(inner) = self.inner.as_deref() else { return };
        if inner.len() < shown.as_slice().len() {
            let found = inner.iter().filter(|(sign, _)| shown.has(**sign));
            found.for_each(|(_, drawer)| drawer.collect(shown, out));
        } else {
            let found = shown.as_slice().iter().filter_map(|sign| inner.get(sign));
            found.for_each(|drawer| drawer.collect(shown, out));
        }
    }
}

impl Place {
    /// Every sign that this place uses.
    pub(crate) fn uses(&self) -> impl Iterator<Item = u64> {
        let checks = self.checks.iter().filter(|check| **check != NO_CHECK);
        self.signs.iter().chain(checks).copied()
    }
}
