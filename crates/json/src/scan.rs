//! Values of a text that is not read as a whole.
//!
//! [`Document`](crate::Document) notes every value before the first can be read. Who wants one or
//! two of them is served faster by looking for just these: what lies between is stepped over,
//! sixteen bytes at a time. The text must have been checked by somebody else. What a scan finds in
//! JSON is what the document has there; of other texts it finds anything or nothing.

use std::{borrow::Cow, ops::Range};

use crate::{
    Kind,
    block::{BYTES, Block},
    value::unescape,
};

/// A view of one value in a text that is known to be JSON. Copying it copies a pointer.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// Without whitespace around it; some may be inside of arrays and objects.
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

    /// The text of the value as it stands there.
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

    /// Keys (as strings to read with [`Scan::as_str`]) and values of an object as they stand
    /// there, duplicates included; none for anything else.
    pub fn members(self) -> impl Iterator<Item = (Scan<'a>, Scan<'a>)> {
        let mut cursor = Cursor::inside(self, Kind::Object);
        std::iter::from_fn(move || Some((cursor.value()?, cursor.value()?)))
    }

    /// Those of [`Scan::members`] whose key `path` begins with, and what is left of `path` behind
    /// it. Cheaper than to look at all of them.
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

/// A place between the values of an array or object.
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

    /// Where the next value or key stands, with the comma or colon before it stepped over.
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

/// What is left of `path` behind the key that stands at `key`.
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

/// Where a number or word that begins at `start` ends.
fn scalar_end(text: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\t' | b'\r');
    text[start..].iter().position(ends).map_or(text.len(), |length| start + length)
}

/// Where a string that begins at `start` ends, its quote included.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        let Block { quotes, backslashes, .. } = Block::at(text, at);
        let first = (quotes | backslashes).trailing_zeros();
        at += match first as usize {
            BYTES.. => BYTES,
            // What follows a backslash is no end.
            first if backslashes >> first & 1 == 1 => first + 2,
            first => return at + first + 1,
        };
    }
    text.len()
}

/// Where an array or object that begins at `start` ends.
fn nested_end(text: &[u8], start: usize) -> usize {
    let mut depth = 0_u32;
    let (mut in_string, mut is_escaped) = (0, 0);
    for at in (start..text.len()).step_by(BYTES) {
        let block = Block::at(text, at);
        let escaped = escaped(block.backslashes, is_escaped);
        is_escaped = escaped >> BYTES;
        let strings = fill(block.quotes & !escaped) ^ in_string;
        // All bits of the next block begin as the last one of this ended.
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

/// The bytes that follow a backslash which isn't one of them; the bit after the block's last for
/// the next block's first.
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

/// Sets the bits from each odd one that is set up to the next even one, which is left out.
fn fill(mut bits: u32) -> u32 {
    for shift in [1, 2, 4, 8] {
        bits ^= bits << shift;
    }
    bits
}
