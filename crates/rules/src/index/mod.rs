//! An index over many patterns that selects those which might match an event.
//!
//! Every pattern implies simple facts about the events that it matches: "`type` is `order.paid`",
//! "`data.url` begins with `https:/`", "`data.total` lies between 64 and 128". Each fact has a 64-bit
//! number, its *sign*. The index files a pattern under the rarest of its facts, walks an event once to
//! collect the signs that the event shows, and reads only the patterns filed under those. Each entry also
//! holds a few more signs to compare before the pattern is evaluated, and a drawer that holds many
//! patterns files further ones by a second, third and fourth fact. A type shared by a hundred thousand
//! patterns therefore costs nothing. Patterns without a sign are candidates for every event: those that
//! only require `exists: false`.
//!
//! A fact is rare if few patterns require it, compared with all patterns that require the same kind of
//! fact at the same path: each of five thousand customer ids is rarer than each of twenty types.
//!
//! Signs may collide and facts may be approximate. That costs time but never changes a result: each
//! candidate is evaluated in full.

mod drawer;
mod fact;
mod reading;
mod sign;
mod trie;

use std::collections::HashMap;
use std::hash::Hash;

use antar_json::{OutOfSteps, Steps, Value};

use crate::Pattern;
use drawer::{Drawer, Filing, Place};
use reading::Signs;

/// Patterns by key. The cost of adding, removing and matching depends on the pattern and its matches, not
/// on the number of patterns.
pub struct Index<K: Copy + Eq + Hash + Ord> {
    rules: Vec<Option<Rule<K>>>,
    vacant: Vec<u32>,
    slots: HashMap<K, u32>,
    root: Drawer,
    signs: Signs,
}

struct Rule<K> {
    key: K,
    pattern: Pattern,
    places: Box<[Place]>,
}

impl<K: Copy + Eq + Hash + Ord> Default for Index<K> {
    fn default() -> Self {
        Index::new()
    }
}

impl<K: Copy + Eq + Hash + Ord> Index<K> {
    #[must_use]
    pub fn new() -> Self {
        Index {
            rules: Vec::new(),
            vacant: Vec::new(),
            slots: HashMap::new(),
            root: Drawer::default(),
            signs: Signs::new(),
        }
    }

    /// The number of patterns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    #[must_use]
    pub fn get(&self, key: &K) -> Option<&Pattern> {
        self.rule(*self.slots.get(key)?).map(|rule| &rule.pattern)
    }

    fn rule(&self, slot: u32) -> Option<&Rule<K>> {
        self.rules.get(slot as usize)?.as_ref()
    }

    /// Adds a pattern. Replaces an earlier one with the same key.
    pub fn insert(&mut self, key: K, pattern: Pattern) {
        self.remove(&key);
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.rules.push(None);
            u32::try_from(self.rules.len() - 1).unwrap_or(u32::MAX)
        });
        let clauses = fact::implied(&pattern, &self.signs);
        let mut filing = Filing::new(slot, &mut self.signs);
        filing.file(&mut self.root, &clauses.iter().collect::<Vec<_>>());
        let places = filing.places.into();
        drop(clauses);
        self.slots.insert(key, slot);
        self.rules[slot as usize] = Some(Rule { key, pattern, places });
    }

    /// Removes a pattern and returns whether there was one.
    pub fn remove(&mut self, key: &K) -> bool {
        let Some(slot) = self.slots.remove(key) else { return false };
        let Some(rule) = self.rules[slot as usize].take() else { return false };
        self.vacant.push(slot);
        for place in &rule.places {
            let moved = self.root.remove(&place.signs, place.at);
            place.uses().for_each(|sign| self.signs.release(sign));
            if let Some(moved) = moved
                && let Some(other) = self.rules[moved.slot as usize].as_mut()
                && let Some(its) = other.places.get_mut(moved.place as usize)
            {
                its.at = place.at;
            }
        }
        true
    }

    /// The keys of all patterns that may match, in ascending order. Some of them may not match. One step is
    /// one key of the event that is looked up, or one fact that a value may show.
    ///
    /// # Errors
    /// [`OutOfSteps`]: any pattern may match.
    pub fn candidates(&self, event: Value<'_>, steps: &Steps) -> Result<Vec<K>, OutOfSteps> {
        let slots = self.slots_for(event, steps)?;
        let mut keys: Vec<K> = slots.iter().filter_map(|s| self.rule(*s)).map(|r| r.key).collect();
        keys.sort_unstable();
        Ok(keys)
    }

    /// The keys of the patterns that match, in ascending order.
    #[must_use]
    pub fn matches(&self, event: Value<'_>) -> Vec<K> {
        let candidates = self.slots_for(event, &Steps::unlimited()).unwrap_or_default();
        let mut keys: Vec<K> = candidates
            .iter()
            .filter_map(|slot| self.rule(*slot))
            .filter(|rule| rule.pattern.matches(event))
            .map(|rule| rule.key)
            .collect();
        keys.sort_unstable();
        keys
    }

    /// The slots of all candidates, each once.
    fn slots_for(&self, event: Value<'_>, steps: &Steps) -> Result<Vec<u32>, OutOfSteps> {
        let mut slots = Vec::new();
        self.root.collect(&self.signs.shown_by(event, steps)?, &mut slots);
        slots.sort_unstable();
        slots.dedup();
        Ok(slots)
    }

    /// Whether nothing is left of removed patterns. For tests.
    #[doc(hidden)]
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.is_empty()
            && self.root.is_blank()
            && self.signs.is_blank()
            && self.vacant.len() == self.rules.len()
    }
}

impl<K: Copy + Eq + Hash + Ord> std::fmt::Debug for Index<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("len", &self.len()).finish_non_exhaustive()
    }
}
