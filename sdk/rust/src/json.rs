//! JSON data as it was posted, parsed on demand.

use std::{
    borrow::Cow,
    fmt,
    ops::Deref,
    str::FromStr,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use antar_json::{Document, ParseError, Scan, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::path::{find, texts};

/// Lookups that scan the text; from the next one on, it pays to parse it as a whole.
const SCANS_MAX: u32 = 4;

/// A JSON text that keeps key order, escapes and number text as written: an integer beyond 2^53 or
/// a `1.10` comes out as it went in. It never changes; [`Json::set`] and the like return a copy.
/// All methods of [`Document`] work on it too.
///
/// An event's data is parsed on demand. Methods that return owned texts ([`Json::strings`],
/// [`Event::text`](crate::Event::text) and those built on them) only scan the text, the first few
/// times. Methods that return views, and those of [`Document`], parse the whole text once. Both
/// find the same values.
pub struct Json {
    /// The text from the host, which has validated it. Empty if this was made from a document.
    unread: String,
    document: OnceLock<Document>,
    scans: AtomicU32,
}

impl Json {
    /// Writes any serde type as JSON.
    pub fn of(value: &impl Serialize) -> Result<Json, serde_json::Error> {
        let text = serde_json::to_string(value)?;
        text.parse().map_err(serde::ser::Error::custom)
    }

    /// A text that the host has validated, to be parsed on demand.
    pub(crate) fn unread(text: String) -> Json {
        Json { unread: text, document: OnceLock::new(), scans: AtomicU32::new(0) }
    }

    pub(crate) fn document(&self) -> &Document {
        self.document.get_or_init(|| {
            let read = self.unread.parse();
            read.unwrap_or_else(|e| wrong(&e))
        })
    }

    /// The compact text.
    pub fn into_text(self) -> String {
        self.document().text().to_owned()
    }

    /// The value at a dotted path. A number is an index into an array; a key that itself contains
    /// dots is found if no shorter key leads on. The empty path is the whole. Of duplicate keys the
    /// last one counts.
    pub fn at(&self, path: &str) -> Option<Value<'_>> {
        self.document().root().at(path)
    }

    /// All values at a dotted path. Where [`Json::at`] needs an index into an array, this steps
    /// through all elements: `labels.name` finds the name of each label.
    pub fn find(&self, path: &str) -> Vec<Value<'_>> {
        find(self.document().root(), path)
    }

    /// The texts of all scalars at a dotted path: the characters of a string, the JSON text of a
    /// number or boolean. Arrays on the way and at the end are stepped through; `null` and objects
    /// give no text.
    pub fn strings(&self, path: &str) -> impl Iterator<Item = String> + use<'_> {
        let is_read = self.document.get().is_some();
        let (read, scanned) = match is_read || self.scans.fetch_add(1, Relaxed) >= SCANS_MAX {
            true => (find(self.document().root(), path), Vec::new()),
            false => (Vec::new(), find(Scan::new(&self.unread), path)),
        };
        read.into_iter().flat_map(texts).chain(scanned.into_iter().flat_map(texts))
    }
}

#[expect(clippy::panic, reason = "the host broke its word, and there is nobody to tell")]
fn wrong(error: &ParseError) -> Document {
    panic!("data: {error}")
}

impl Deref for Json {
    type Target = Document;

    fn deref(&self) -> &Document {
        self.document()
    }
}

impl Clone for Json {
    fn clone(&self) -> Json {
        match self.document.get() {
            Some(document) => Json::from(document.clone()),
            None => Json::unread(self.unread.clone()),
        }
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Json) -> bool {
        self.document() == other.document()
    }
}

impl Eq for Json {}

impl FromStr for Json {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Json, ParseError> {
        text.parse::<Document>().map(Json::from)
    }
}

impl From<Document> for Json {
    fn from(document: Document) -> Json {
        Json { unread: String::new(), document: OnceLock::from(document), scans: AtomicU32::new(0) }
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Json {
        Json::from(Document::from(value))
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.document().text())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.document().text())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.document().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        Document::deserialize(deserializer).map(Json::from)
    }
}

impl JsonSchema for Json {
    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        true.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(json: &Json, path: &str) -> Vec<String> {
        json.strings(path).collect()
    }

    #[test]
    fn looking_for_a_few_and_reading_the_whole_find_the_same() {
        let text = r#" {"a": [{"b": 1.10}, {"b": ["x", {"c": "\u0041}"}]}], "a\u002eb" : true,
            "n": 8202522731445525542, "n": 8202522731445525543, "none": null} "#;
        for path in ["a.b", "a.b.c", "a.1.b.0", "n", "none", "a", "", "a.b.d", "b"] {
            let unread = Json::unread(text.to_owned());
            let scanned = strings(&unread, path);
            assert!(unread.document.get().is_none());
            assert_eq!(scanned, strings(&text.parse().unwrap(), path), "{path}");
        }
        let unread = Json::unread(text.to_owned());
        assert_eq!(strings(&unread, "n"), ["8202522731445525543"]);
        assert_eq!(strings(&unread, "a.b.c"), ["A}"]);
    }

    #[test]
    fn after_some_looks_the_whole_is_read_once() {
        let json = Json::unread(r#"{"a": 1}"#.to_owned());
        let is_read = |json: &Json| json.document.get().is_some();
        (0..SCANS_MAX).for_each(|_| assert_eq!(strings(&json, "a"), ["1"]));
        assert!(!is_read(&json) && !is_read(&json.clone()));
        assert_eq!(strings(&json, "a"), ["1"]);
        assert!(is_read(&json) && is_read(&json.clone()));
        assert_eq!(json, r#"{"a":1}"#.parse().unwrap());
    }
}
