//! Signs: 64-bit hashes of facts about a value at a path.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;

/// A kind of fact. Together with a path and a few bytes it makes a [`Signer::sign`]. Sizes count those
/// bytes, or the leading bits for ranges and networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// A scalar exists.
    Present,
    Null,
    Bool,
    Text,
    Folded,
    Number,
    Prefix(u8),
    FoldedPrefix(u8),
    Suffix(u8),
    FoldedSuffix(u8),
    /// A few bytes anywhere in a string.
    Gram(u8),
    /// Leading bits of a number as mapped by [`ordered`].
    Range(u8),
    V4(u8),
    V6(u8),
}

impl Probe {
    fn number(self) -> u64 {
        let (kind, size) = match self {
            Probe::Present => (1, 0),
            Probe::Null => (2, 0),
            Probe::Bool => (3, 0),
            Probe::Text => (4, 0),
            Probe::Folded => (5, 0),
            Probe::Number => (6, 0),
            Probe::Prefix(size) => (7, size),
            Probe::FoldedPrefix(size) => (8, size),
            Probe::Suffix(size) => (9, size),
            Probe::FoldedSuffix(size) => (10, size),
            Probe::Gram(size) => (11, size),
            Probe::Range(bits) => (12, bits),
            Probe::V4(bits) => (13, bits),
            Probe::V6(bits) => (14, bits),
        };
        (kind << 8) | u64::from(size)
    }

    /// How often a fact of this kind holds for an unrelated event, relative to an exact value. A rough
    /// estimate that only guides the choice of the rarest fact.
    pub(crate) fn commonness(self) -> u64 {
        match self {
            Probe::Present => 64,
            Probe::Null | Probe::Bool => 16,
            Probe::Gram(size) => 1 << (2 * (4 - u64::from(size.min(4)))),
            Probe::Prefix(size) | Probe::Suffix(size) if size < 4 => 4,
            Probe::FoldedPrefix(size) | Probe::FoldedSuffix(size) if size < 4 => 4,
            // Sign and exponent take 12 bits: with fewer, one fact spans whole powers of two.
            Probe::Range(bits) if bits < 12 => 16,
            Probe::V4(bits) if bits < 8 => 8,
            Probe::V6(bits) if bits < 16 => 8,
            _ => 1,
        }
    }
}

/// Lengths at which prefixes and suffixes are compared. Others are cut to the next shorter length, so that
/// a value has few of them.
const AFFIX_SIZES: [u8; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

/// The largest comparable length up to `length`; `None` for 0.
pub(crate) fn affix_size(length: usize) -> Option<u8> {
    AFFIX_SIZES.into_iter().rev().find(|size| usize::from(*size) <= length)
}

/// Maps numbers to integers in the same order. Both zeros map to the same integer.
pub(crate) fn ordered(number: f64) -> u64 {
    let bits = if number == 0.0 { 0 } else { number.to_bits() };
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

/// The leading `count` bits of a 64-bit number.
pub(crate) fn leading(number: u64, count: u8) -> [u8; 8] {
    number.checked_shr(64 - u32::from(count.min(64))).unwrap_or(0).to_le_bytes()
}

/// The network of an address: its leading bits.
pub(crate) fn network(address: IpAddr, bits: u8) -> [u8; 16] {
    let (number, width) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    number.checked_shr(width - u32::from(bits).min(width)).unwrap_or(0).to_le_bytes()
}

/// Makes signs. Seeded at random, so that colliding values can't be prepared.
#[derive(Clone, Copy)]
pub(crate) struct Signer {
    seed: u64,
}

/// Odd constants without structure: 2⁶⁴ divided by the golden ratio, as in SplitMix, and one of wyhash.
const STIR: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0x2d35_8dcc_aa6c_78a5];

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ STIR[0]) * u128::from(b ^ STIR[1]);
    let [low, high] = [product, product >> 64].map(|half| half & u128::from(u64::MAX));
    u64::try_from(low ^ high).unwrap_or_default()
}

fn mix_bytes(start: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let state = words.iter().fold(start, |state, word| mix(state, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(state ^ bytes.len() as u64, u64::from_le_bytes(last))
}

impl Signer {
    pub(crate) fn new() -> Signer {
        Signer { seed: RandomState::new().build_hasher().finish() }
    }

    /// The empty path.
    pub(crate) fn root(self) -> u64 {
        self.seed
    }

    /// `path` extended by one segment.
    pub(crate) fn step(self, path: u64, segment: &str) -> u64 {
        mix_bytes(mix(path, self.seed), segment.as_bytes())
    }

    pub(crate) fn path(self, segments: &[Box<str>]) -> u64 {
        segments.iter().fold(self.root(), |path, segment| self.step(path, segment))
    }

    pub(crate) fn sign(self, path: u64, probe: Probe, bytes: &[u8]) -> u64 {
        mix_bytes(mix(path, probe.number()), bytes)
    }
}

/// Hashes text keys with the same mixing.
impl BuildHasher for Signer {
    type Hasher = TextHasher;

    fn build_hasher(&self) -> TextHasher {
        TextHasher { state: self.seed }
    }
}

pub(crate) struct TextHasher {
    state: u64,
}

impl Hasher for TextHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.state = mix_bytes(self.state, bytes);
    }

    /// `str` writes one final byte that matters only for keys of several parts.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.state
    }
}

/// Passes signs through, as they are hashes already.
#[derive(Default, Clone, Copy)]
pub(crate) struct SignHasher {
    sign: u64,
}

impl Hasher for SignHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.sign = mix_bytes(self.sign, bytes);
    }

    fn write_u64(&mut self, sign: u64) {
        self.sign = sign;
    }

    fn finish(&self) -> u64 {
        self.sign
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordered_numbers_keep_their_order() {
        let numbers =
            [f64::NEG_INFINITY, -1e300, -1.0, -1e-300, -0.0, 1e-300, 1.0, 1.5, f64::INFINITY];
        assert!(numbers.map(ordered).is_sorted());
        assert_eq!(ordered(-0.0), ordered(0.0));
    }
}
