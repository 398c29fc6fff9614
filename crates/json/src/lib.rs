//! JSON documents that are validated once and then read in place.
//!
//! [`Document::parse`] validates a text, drops the whitespace between tokens and records where every value
//! begins and ends, all in one pass. Everything else stays byte for byte as posted: the order of keys,
//! duplicate keys, escapes, and the text of numbers, which never become an `f64`. A [`Value`] is a cheap,
//! copyable view of one value in a document. [`Builder`] writes a new document from strings and copies of
//! such views, again without parsing. A [`Scan`] finds single values in a text that is already validated.
//! [`Steps`] bound the work on documents that strangers send.

mod block;
mod build;
mod parse;
mod scan;
mod steps;
mod value;

pub use build::{Builder, escape_into, quote};
pub use parse::{Limits, ParseError};
pub use scan::Scan;
pub use steps::{OutOfSteps, Steps};
pub use value::{Elements, Kind, Members, Value};

/// An immutable, compact JSON text with the positions of its values.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    pub(crate) text: Box<str>,
    pub(crate) nodes: Vec<Node>,
}

/// One value: its bytes in the text and the index of the node after its last descendant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) next: u32,
    pub(crate) tag: Tag,
}

/// Type of a node. Strings with escapes have a tag of their own, so that strings without are read in
/// place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tag {
    Null,
    False,
    True,
    Number,
    String,
    EscapedString,
    Array,
    Object,
}

impl Document {
    /// Checks `text` against RFC 8259 and `limits`. Bytes that are not UTF-8 are an error.
    pub fn parse(text: &[u8], limits: Limits) -> Result<Document, ParseError> {
        parse::parse(text, limits)
    }

    /// `{}`
    #[must_use]
    pub fn empty_object() -> Document {
        let mut out = Builder::new();
        out.object().end();
        out.finish()
    }

    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> Value<'_> {
        Value { document: self, index: 0 }
    }

    /// The compact text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl std::str::FromStr for Document {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Document, ParseError> {
        parse::parse_str(text, Limits::default())
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for Document {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.root().serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Document {
    /// Reads any JSON value through `serde_json`; other formats lose number text beyond 64 bits.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        raw.get().parse().map_err(serde::de::Error::custom)
    }
}

impl From<&serde_json::Value> for Document {
    fn from(value: &serde_json::Value) -> Document {
        let mut builder = Builder::new();
        builder.serde(value);
        builder.finish()
    }
}
