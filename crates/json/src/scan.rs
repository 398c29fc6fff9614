//! Finds single values in a text that is already validated, without recording the others.
//!
//! [`Document`](crate::Document) records every value before the first can be read. A scan is faster for
//! a caller that needs only one or two values: it skips the bytes in between, sixteen at a time. The
//! caller must have validated the text. In valid JSON a scan finds the same values as a document; in any
//! other text it may find anything or nothing.

use std::{borrow::Cow, ops::Range};

use crate::{
    Kind,
    block::{BYTES, Block},
    value::unescape,
};

/// A view of one value in a text that is known to be valid JSON. Copying it copies a `&str`.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// Without surrounding whitespace; arrays and objects may contain whitespace inside.
    text: &'a str,
}

impl<'a> Scan<'a> {
    #[must_use]
    pub fn new(text: &'a str) -> Scan<'a> {
        Scan { text: text.trim_matches([' ', '\n', '\t', '\r']) }
    }

    #[must_use]
    pub fn kind(self) -> Kind {
        match self.text.as_bytes().first() {
            Some(b'"') => Kind::String,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            _ => Kind::Null,
        }
    }

    /// The text of the value, unchanged.
    #[must_use]
    pub fn raw(self) -> &'a str {
        self.text
    }

    /// The characters of a string. A lone surrogate escape reads as U+FFFD.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        let inner = self.text.strip_prefix('"')?.strip_suffix('"')?;
        Some(match inner.contains('\\') {
            true => Cow::Owned(unescape(inner)),
            false => Cow::Borrowed(inner),
        })
    }

    /// The elements of an array; none for anything else.
    pub fn elements(self) -> impl Iterator<Item = Scan<'a>> {
        let mut cursor = Cursor::inside(self, Kind::Array);
        std::iter::from_fn(move || cursor.value())
    }

    /// Keys (as strings to read with [`Scan::as_str`]) and values of an object in text order, duplicates
    /// included; none for anything else.
    pub fn members(self) -> impl Iterator<Item = (Scan<'a>, Scan<'a>)> {
        let mut cursor = Cursor::inside(self, Kind::Object);
        std::iter::from_fn(move || Some((cursor.value()?, cursor.value()?)))
    }

    /// The [`Scan::members`] whose key is a prefix of `path`, each with the rest of `path` after the key.
    /// Cheaper than filtering all members.
    pub fn members_along<'p>(
        self,
        path: &'p str,
    ) -> impl Iterator<Item = (Scan<'a>, &'p str)> + use<'a, 'p> {
        let mut cursor = Cursor::inside(self, Kind::Object);
        std::iter::from_fn(move || {
            loop {
                let (key, value) = (cursor.span()?, cursor.span()?);
                if let Some(rest) = behind(cursor.text, key, path) {
                    return cursor.text.get(value).map(|text| (Scan { text }, rest));
                }
            }
        })
    }
}

/// A position between the values of an array or object.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn inside(value: Scan<'a>, kind: Kind) -> Cursor<'a> {
        let text = if value.kind() == kind { value.text } else { "" };
        Cursor { text, at: 1 }
    }

    fn value(&mut self) -> Option<Scan<'a>> {
        let span = self.span()?;
        self.text.get(span).map(|text| Scan { text })
    }

    /// The range of the next value or key, after skipping the comma or colon before it.
    fn span(&mut self) -> Option<Range<usize>> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b',' | b':' | b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
        let start = self.at;
        self.at = match bytes.get(start)? {
            b'"' => string_end(bytes, start),
            b'{' | b'[' => nested_end(bytes, start),
            b'}' | b']' => return None,
            _ => scalar_end(bytes, start),
        };
        Some(start..self.at)
    }
}

/// The rest of `path` after the key at range `key`; `None` if `path` does not begin with that key.
fn behind<'p>(text: &str, key: Range<usize>, path: &'p str) -> Option<&'p str> {
    let inner = text.as_bytes().get(key.start + 1..key.end.checked_sub(1)?)?;
    for (at, byte) in inner.iter().enumerate() {
        if *byte == b'\\' {
            let key = Scan { text: text.get(key)? };
            return path.strip_prefix(&*key.as_str()?);
        }
        if path.as_bytes().get(at) != Some(byte) {
            return None;
        }
    }
    path.get(inner.len()..)
}

/// End of the number or word that begins at `start`.
fn scalar_end(text: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\t' | b'\r');
    text[start..].iter().position(ends).map_or(text.len(), |length| start + length)
}

/// End of the string that begins at `start`, after its closing quote.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        let Block { quotes, backslashes, .. } = Block::at(text, at);
        let first = (quotes | backslashes).trailing_zeros();
        at += match first as usize {
            BYTES.. => BYTES,
            // The byte after a backslash can't end the string.
            first if backslashes >> first & 1 == 1 => first + 2,
            first => return at + first + 1,
        };
    }
    text.len()
}

/// End of the array or object that begins at `start`.
fn nested_end(text: &[u8], start: usize) -> usize {
    let mut depth = 0_u32;
    let (mut in_string, mut is_escaped) = (0, 0);
    for at in (start..text.len()).step_by(BYTES) {
        let block = Block::at(text, at);
        let escaped = escaped(block.backslashes, is_escaped);
        is_escaped = escaped >> BYTES;
        let strings = fill(block.quotes & !escaped) ^ in_string;
        // Carry the in-string state of this block's last byte into all bits of the next block.
        in_string = (strings >> (BYTES - 1) & 1).wrapping_neg();
        let (mut opens, mut closes) = (block.opens & !strings, block.closes & !strings);
        if closes.count_ones() < depth {
            depth = depth + opens.count_ones() - closes.count_ones();
            continue;
        }
        while (opens | closes) != 0 {
            let first = (opens | closes).trailing_zeros();
            if opens >> first & 1 == 1 {
                opens &= opens - 1;
                depth += 1;
            } else {
                closes &= closes - 1;
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + first as usize + 1;
                }
            }
        }
    }
    text.len()
}

/// Mask of the bytes that follow an unescaped backslash. The bit after the block's last byte stands for
/// the next block's first byte.
fn escaped(backslashes: u32, is_first: u32) -> u32 {
    let mut escaped = is_first;
    let mut left = backslashes & !is_first;
    while left != 0 {
        let first = left & left.wrapping_neg();
        escaped |= first << 1;
        left &= !(first | first << 1);
    }
    escaped
}

/// Sets the bits from each odd set bit (first, third, …) up to the next even one, which is excluded.
fn fill(mut bits: u32) -> u32 {
    for shift in [1, 2, 4, 8] {
        bits ^= bits << shift;
    }
    bits
}
