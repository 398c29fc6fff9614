//! Counts the signs in use and collects those that an event shows.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use antar_json::{Kind, OutOfSteps, Steps, Value};

use super::sign::{Probe, SignHasher, Signer, leading, network, ordered};
use super::trie::{ROOT, Trie};
use crate::matcher::{Scalar, address};
use crate::path::DEPTH_MAX;
use crate::{decimal, fold};

/// A map by sign.
pub(crate) type SignMap<T> = HashMap<u64, T, BuildHasherDefault<SignHasher>>;

pub(crate) struct Signs {
    signer: Signer,
    trie: Trie,
    uses: SignMap<Use>,
}

struct Use {
    count: u32,
    node: u32,
    probe: Probe,
}

impl Signs {
    pub(crate) fn new() -> Signs {
        let signer = Signer::new();
        Signs { signer, trie: Trie::new(signer), uses: SignMap::default() }
    }

    pub(crate) fn signer(&self) -> Signer {
        self.signer
    }

    pub(crate) fn trie(&self) -> &Trie {
        &self.trie
    }

    /// How often a sign is used.
    pub(crate) fn count(&self, sign: u64) -> u32 {
        self.uses.get(&sign).map_or(0, |used| used.count)
    }

    pub(crate) fn acquire(&mut self, sign: u64, segments: &[Box<str>], probe: Probe) {
        let trie = &mut self.trie;
        let used = self.uses.entry(sign).or_insert_with(|| Use {
            count: 0,
            node: trie.plan(segments, probe),
            probe,
        });
        used.count += 1;
        trie.note(used.node, used.probe, true);
    }

    pub(crate) fn release(&mut self, sign: u64) {
        let Some(used) = self.uses.get_mut(&sign) else { return };
        used.count -= 1;
        let (node, probe) = (used.node, used.probe);
        self.trie.note(node, probe, false);
        if used.count == 0 {
            self.uses.remove(&sign);
            self.trie.release(node, probe);
        }
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.uses.is_empty() && self.trie.is_blank()
    }

    /// The signs in use that an event shows.
    pub(crate) fn shown_by(&self, event: Value<'_>, steps: &Steps) -> Result<Shown, OutOfSteps> {
        let mut reading = Reading { signs: self, shown: Vec::new(), steps };
        reading.value(ROOT, event, 0)?;
        Ok(Shown::new(reading.shown))
    }
}

/// A small set of signs for frequent lookups.
pub(crate) struct Shown {
    sorted: Vec<u64>,
    /// Bit filter over the low bits of each sign; rejects most absent signs without a search.
    filter: [u64; FILTER_WORDS],
}

const FILTER_WORDS: usize = 16;

/// Word index and bit mask of a sign in the filter.
fn filter_bit(sign: u64) -> (usize, u64) {
    let word = (sign >> 6) % FILTER_WORDS as u64;
    (usize::try_from(word).unwrap_or_default(), 1 << (sign & 63))
}

impl Shown {
    fn new(mut signs: Vec<u64>) -> Shown {
        signs.sort_unstable();
        signs.dedup();
        let mut filter = [0; FILTER_WORDS];
        for sign in &signs {
            let (word, bit) = filter_bit(*sign);
            filter[word] |= bit;
        }
        Shown { sorted: signs, filter }
    }

    pub(crate) fn has(&self, sign: u64) -> bool {
        let (word, bit) = filter_bit(sign);
        self.filter[word] & bit != 0 && self.sorted.binary_search(&sign).is_ok()
    }

    pub(crate) fn as_slice(&self) -> &[u64] {
        &self.sorted
    }
}

struct Reading<'s> {
    signs: &'s Signs,
    shown: Vec<u64>,
    steps: &'s Steps,
}

impl Reading<'_> {
    fn value(&mut self, node: u32, value: Value<'_>, depth: usize) -> Result<(), OutOfSteps> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        match value.kind() {
            Kind::Object => {
                if self.signs.trie.node(node).has_children() {
                    for (key, member) in value.members() {
                        self.steps.read(key.raw().len())?;
                        if let Some(child) = self.step(node, key) {
                            self.value(child, member, depth + 1)?;
                        }
                    }
                }
            }
            Kind::Array => {
                for element in value.elements() {
                    self.steps.take(1)?;
                    self.value(node, element, depth + 1)?;
                }
            }
            _ => {
                self.steps.take(self.signs.trie.node(node).signs_shown_max(value.raw().len()))?;
                self.scalar(node, value);
            }
        }
        Ok(())
    }

    fn step(&self, node: u32, key: Value<'_>) -> Option<u32> {
        let trie = &self.signs.trie;
        let key = key.as_str()?;
        trie.node(node).child(&key).or_else(|| {
            let dotted = key.contains('.');
            dotted.then(|| key.split('.').try_fold(node, |at, part| trie.node(at).child(part)))?
        })
    }

    fn show(&mut self, path: u64, probe: Probe, bytes: &[u8]) {
        let sign = self.signs.signer.sign(path, probe, bytes);
        if self.signs.uses.contains_key(&sign) {
            self.shown.push(sign);
        }
    }

    fn scalar(&mut self, node: u32, value: Value<'_>) {
        let node = self.signs.trie.node(node);
        let Some(scalar) = Scalar::read(value) else { return };
        let path = node.path;
        match scalar {
            Scalar::Null => self.plain(path, node.probes(), Probe::Null, &[]),
            Scalar::Bool(value) => self.plain(path, node.probes(), Probe::Bool, &[value.into()]),
            Scalar::Number(text) => self.number(path, node.probes(), text),
            Scalar::Text(text) => self.text(path, node.probes(), &text),
        }
    }

    fn plain(&mut self, path: u64, probes: impl Iterator<Item = Probe>, own: Probe, bytes: &[u8]) {
        for probe in probes {
            match probe {
                Probe::Present => self.show(path, probe, &[]),
                _ if probe == own => self.show(path, probe, bytes),
                _ => {}
            }
        }
    }

    fn number(&mut self, path: u64, probes: impl Iterator<Item = Probe>, text: &str) {
        let number = ordered(decimal::nearest(text));
        for probe in probes {
            match probe {
                Probe::Present => self.show(path, probe, &[]),
                Probe::Number => self.show(path, probe, &leading(number, 64)),
                Probe::Range(bits) => self.show(path, probe, &leading(number, bits)),
                _ => {}
            }
        }
    }

    fn text(&mut self, path: u64, probes: impl Iterator<Item = Probe>, text: &str) {
        let bytes = text.as_bytes();
        let (mut folded, mut parsed) = (None, None);
        let mut fold = || -> Box<[u8]> {
            let mut out = String::with_capacity(text.len());
            fold::fold_into(&mut out, text);
            out.into_bytes().into()
        };
        for probe in probes {
            match probe {
                Probe::Present => self.show(path, probe, &[]),
                Probe::Text => self.show(path, probe, bytes),
                Probe::Prefix(size) => self.part(path, probe, head(bytes, size)),
                Probe::Suffix(size) => self.part(path, probe, tail(bytes, size)),
                Probe::Folded => self.show(path, probe, folded.get_or_insert_with(&mut fold)),
                Probe::FoldedPrefix(size) => {
                    self.part(path, probe, head(folded.get_or_insert_with(&mut fold), size));
                }
                Probe::FoldedSuffix(size) => {
                    self.part(path, probe, tail(folded.get_or_insert_with(&mut fold), size));
                }
                Probe::Gram(size) => {
                    bytes.windows(size.into()).for_each(|gram| self.show(path, probe, gram));
                }
                Probe::V4(bits) | Probe::V6(bits) => {
                    let address = *parsed.get_or_insert_with(|| address(text));
                    let same =
                        |ip: &std::net::IpAddr| ip.is_ipv4() == matches!(probe, Probe::V4(_));
                    if let Some(ip) = address.filter(same) {
                        self.show(path, probe, &network(ip, bits));
                    }
                }
                Probe::Null | Probe::Bool | Probe::Number | Probe::Range(_) => {}
            }
        }
    }

    fn part(&mut self, path: u64, probe: Probe, part: Option<&[u8]>) {
        if let Some(part) = part {
            self.show(path, probe, part);
        }
    }
}

fn head(bytes: &[u8], size: u8) -> Option<&[u8]> {
    bytes.get(..size.into())
}

fn tail(bytes: &[u8], size: u8) -> Option<&[u8]> {
    bytes.get(bytes.len().checked_sub(size.into())?..)
}
