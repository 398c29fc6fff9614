//! Derives facts that hold for every event that a pattern matches.

use super::reading::Signs;
use super::sign::{Probe, affix_size, leading, network, ordered};
use crate::matcher::{Bound, Condition, Matcher, Range};
use crate::wildcard::Wildcard;
use crate::{Part, Pattern, fold};
use std::collections::HashSet;
use std::net::IpAddr;

/// A fact about a value at a path.
pub(crate) struct Fact<'p> {
    pub(crate) sign: u64,
    pub(crate) probe: Probe,
    pub(crate) segments: &'p [Box<str>],
    /// Estimated likelihood that an event shows it, in an arbitrary unit. Lower is better.
    cost: u64,
}

/// At least one of these facts holds for every event that the pattern matches.
pub(crate) struct Clause<'p> {
    pub(crate) facts: Vec<Fact<'p>>,
    /// Sum of the costs of its facts.
    cost: u64,
}

/// Sizes of a gram in bytes; the largest that fits into the literal is used.
const GRAM_SIZES: [usize; 5] = [8, 4, 3, 2, 1];

/// Nodes for one end of a range at most; the rest is covered approximately.
const RANGE_NODES_MAX: usize = 12;

/// The cost of an exact value that every pattern requires.
const COST_UNIT: u64 = 1 << 32;

/// A fact that no pattern requires yet is assumed to be as rare as one in this many. If it is more common
/// than that, a few dozen patterns show it; a fact assumed to be common would never be tried.
const UNSEEN: u64 = 1_024;

/// All clauses of a pattern, most selective first; empty if the pattern implies nothing.
pub(crate) fn implied<'p>(pattern: &'p Pattern, signs: &Signs) -> Vec<Clause<'p>> {
    let mut clauses: Vec<_> =
        pattern.parts().iter().flat_map(|part| part_clauses(part, signs)).collect();
    clauses.sort_by_key(|clause| clause.cost);
    clauses
}

fn part_clauses<'p>(part: &'p Part, signs: &Signs) -> Vec<Clause<'p>> {
    let mut own: Vec<Vec<Clause<'p>>> =
        part.conditions.iter().map(|condition| Facts::of(condition, signs)).collect();
    if part.alternatives.len() == 1 {
        return own.into_iter().flatten().collect();
    }
    let mut uses = vec![0; part.conditions.len()];
    for index in part.alternatives.iter().flatten() {
        uses[usize::from(*index)] += 1;
    }
    let shared = |index: &usize| uses[*index] == part.alternatives.len();
    let any = union(part, &own, shared);
    let everywhere = (0..own.len()).filter(shared).collect::<Vec<_>>();
    let mut clauses: Vec<_> = any.into_iter().collect();
    everywhere.into_iter().for_each(|index| clauses.append(&mut own[index]));
    clauses
}

/// The clause that at least one alternative holds: the cheapest clause of each, leaving out clauses that
/// all alternatives share.
fn union<'p>(
    part: &'p Part,
    own: &[Vec<Clause<'p>>],
    shared: impl Fn(&usize) -> bool,
) -> Option<Clause<'p>> {
    let mut facts = Vec::new();
    // Alternatives often share their best clause, whose list of values may be long.
    let mut taken = HashSet::new();
    for indexes in &part.alternatives {
        let particular = indexes.iter().map(|index| usize::from(*index)).filter(|i| !shared(i));
        let best = particular.flat_map(|index| &own[index]).min_by_key(|clause| clause.cost)?;
        if taken.insert(std::ptr::from_ref(best)) {
            facts.extend(best.facts.iter().map(|fact| Fact { ..*fact }));
        }
    }
    Some(Clause::new(facts))
}

impl<'p> Clause<'p> {
    fn new(mut facts: Vec<Fact<'p>>) -> Clause<'p> {
        facts.sort_unstable_by_key(|fact| fact.sign);
        facts.dedup_by_key(|fact| fact.sign);
        let cost = total(&facts);
        Clause { facts, cost }
    }
}

fn total(facts: &[Fact<'_>]) -> u64 {
    facts.iter().fold(0, |sum, fact| sum.saturating_add(fact.cost))
}

/// Derives the facts of one condition.
struct Facts<'p, 's> {
    segments: &'p [Box<str>],
    path: u64,
    /// The path's node in the trie, if anything is looked for there yet.
    node: Option<u32>,
    signs: &'s Signs,
}

impl<'p> Facts<'p, '_> {
    fn of(condition: &'p Condition, signs: &Signs) -> Vec<Clause<'p>> {
        if condition.absent {
            return Vec::new();
        }
        let segments = &*condition.segments;
        let (path, node) = (signs.signer().path(segments), signs.trie().find(segments));
        let facts = Facts { segments, path, node, signs };
        let accepts = &condition.accepts;
        if let ([], [only]) = (&*accepts.texts, &*accepts.others) {
            return facts.of_matcher(only).into_iter().map(Clause::new).collect();
        }
        let mut all: Vec<_> =
            accepts.texts.iter().map(|text| facts.fact(Probe::Text, text.as_bytes())).collect();
        for matcher in &accepts.others {
            let ways = facts.of_matcher(matcher);
            let rarest = ways.into_iter().min_by_key(|way| total(way));
            all.extend(rarest.unwrap_or_default());
        }
        if all.iter().any(|fact| fact.probe == Probe::Present) {
            all = facts.present();
        }
        vec![Clause::new(all)]
    }

    fn fact(&self, probe: Probe, bytes: &[u8]) -> Fact<'p> {
        let sign = self.signs.signer().sign(self.path, probe, bytes);
        let all = self.node.map_or(0, |node| self.signs.trie().node(node).uses(probe));
        let share = (u64::from(self.signs.count(sign)) + 1) * COST_UNIT / (u64::from(all) + UNSEEN);
        let cost = (share * probe.commonness()).max(1);
        Fact { sign, probe, segments: self.segments, cost }
    }

    fn present(&self) -> Vec<Fact<'p>> {
        vec![self.fact(Probe::Present, &[])]
    }

    /// Alternative implications of a matcher; each is a list of facts of which at least one holds.
    fn of_matcher(&self, matcher: &Matcher) -> Vec<Vec<Fact<'p>>> {
        let one = |probe, bytes: &[u8]| vec![vec![self.fact(probe, bytes)]];
        match matcher {
            Matcher::Present | Matcher::AnythingBut(_) => vec![self.present()],
            Matcher::Null => one(Probe::Null, &[]),
            Matcher::Bool(value) => one(Probe::Bool, &[u8::from(*value)]),
            Matcher::Number(number) => one(Probe::Number, &leading(ordered(number.nearest()), 64)),
            Matcher::Address(address) => vec![vec![self.network(*address, 128)]],
            Matcher::Cidr(net) => vec![vec![self.network(net.network(), net.prefix_len())]],
            Matcher::Folded(text) => one(Probe::Folded, folded(text).as_bytes()),
            Matcher::Prefix(text) => vec![self.prefix(text.as_bytes(), Probe::Prefix)],
            Matcher::Suffix(text) => vec![self.suffix(text.as_bytes(), Probe::Suffix)],
            Matcher::FoldedPrefix(text) => {
                vec![self.prefix(folded(text).as_bytes(), Probe::FoldedPrefix)]
            }
            Matcher::FoldedSuffix(text) => {
                vec![self.suffix(folded(text).as_bytes(), Probe::FoldedSuffix)]
            }
            Matcher::Wildcard(wildcard) => self.wildcard(wildcard),
            Matcher::Range(range) => vec![self.range(range)],
        }
    }

    fn network(&self, address: IpAddr, bits: u8) -> Fact<'p> {
        let probe = if address.is_ipv4() { Probe::V4(bits.min(32)) } else { Probe::V6(bits) };
        self.fact(probe, &network(address, bits))
    }

    fn prefix(&self, text: &[u8], probe: fn(u8) -> Probe) -> Vec<Fact<'p>> {
        match affix_size(text.len()) {
            Some(size) => vec![self.fact(probe(size), &text[..size.into()])],
            None => self.present(),
        }
    }

    fn suffix(&self, text: &[u8], probe: fn(u8) -> Probe) -> Vec<Fact<'p>> {
        match affix_size(text.len()) {
            Some(size) => vec![self.fact(probe(size), &text[text.len() - usize::from(size)..])],
            None => self.present(),
        }
    }

    fn wildcard(&self, wildcard: &Wildcard) -> Vec<Vec<Fact<'p>>> {
        let (first, middle, last) = match &*wildcard.literals {
            [only] => return vec![vec![self.fact(Probe::Text, only.as_bytes())]],
            [first, middle @ .., last] => (first, middle, last),
            [] => return vec![self.present()],
        };
        let mut ways = Vec::new();
        if !first.is_empty() {
            ways.push(self.prefix(first.as_bytes(), Probe::Prefix));
        }
        if !last.is_empty() {
            ways.push(self.suffix(last.as_bytes(), Probe::Suffix));
        }
        if let Some(longest) = middle.iter().max_by_key(|literal| literal.len()) {
            let size = GRAM_SIZES.into_iter().find(|size| *size <= longest.len());
            let size = size.unwrap_or(1);
            let grams = longest
                .as_bytes()
                .windows(size)
                .map(|gram| self.fact(Probe::Gram(u8::try_from(size).unwrap_or(u8::MAX)), gram));
            ways.extend(grams.min_by_key(|gram| gram.cost).map(|gram| vec![gram]));
        }
        if ways.is_empty() { vec![self.present()] } else { ways }
    }

    fn range(&self, range: &Range) -> Vec<Fact<'p>> {
        let end = |bound: &Option<Bound>, open| match bound {
            Some(bound) => ordered(bound.at.nearest()),
            None => open,
        };
        let nodes = cover(end(&range.low, 0), end(&range.high, u64::MAX));
        if nodes.iter().any(|(bits, _)| *bits == 0) {
            return self.present();
        }
        nodes
            .into_iter()
            .map(|(bits, at)| self.fact(Probe::Range(bits), &leading(at, bits)))
            .collect()
    }
}

fn folded(text: &str) -> String {
    let mut out = String::new();
    fold::fold_into(&mut out, text);
    out
}

/// Covers `low..=high` with intervals of numbers that share their leading bits: the number of bits, and a
/// number that begins with them. Exact if the ends are round numbers.
fn cover(low: u64, high: u64) -> Vec<(u8, u64)> {
    let common = (low ^ high).leading_zeros();
    let below = |bits: u32| u64::MAX.checked_shr(bits).unwrap_or(0);
    if low & below(common) == 0 && high & below(common) == below(common) {
        return vec![(bits(common), low)];
    }
    let mut nodes = Vec::new();
    // Walk down each half of the smallest interval that contains both ends, towards that end: each
    // sibling on the inner side lies entirely inside the range.
    for (end, inner) in [(low, 1), (high, 0)] {
        let mut depth = common + 1;
        let mut taken = 0;
        let rounded = if inner == 1 { 0 } else { u64::MAX };
        while end & below(depth) != rounded & below(depth) && taken < RANGE_NODES_MAX {
            let next = 1 << (63 - depth);
            depth += 1;
            if (end & next == 0) == (inner == 1) {
                nodes.push((bits(depth), end ^ next));
                taken += 1;
            }
        }
        nodes.push((bits(depth), end));
    }
    nodes
}

fn bits(count: u32) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covered(nodes: &[(u8, u64)], value: u64) -> bool {
        nodes.iter().any(|(bits, at)| leading(value, *bits) == leading(*at, *bits))
    }

    proptest! {
        #[test]
        fn a_cover_leaves_nothing_out(ends in any::<[u64; 2]>(), value: u64, shift in 0u32..60) {
            let [low, high] = [ends[0].min(ends[1]), ends[0].max(ends[1])].map(|end| end >> shift);
            let nodes = cover(low, high);
            prop_assert!(nodes.len() <= 2 * (RANGE_NODES_MAX + 1));
            prop_assert!(covered(&nodes, low) && covered(&nodes, high));
            let inside = low + value % (high - low).max(1);
            prop_assert!(covered(&nodes, inside), "{low:x} {high:x} {inside:x}");
        }

        #[test]
        fn a_cover_of_round_ends_is_exact(low: u8, high: u8, value: u64) {
            let (low, high) = (u64::from(low.min(high)) << 56, u64::from(low.max(high)) << 56 | (u64::MAX >> 8));
            prop_assert_eq!(covered(&cover(low, high), value), (low..=high).contains(&value));
        }
    }
}
