//! Data as it was posted.

use std::{borrow::Cow, fmt, ops::Deref, str::FromStr};

use antar_json::{Document, Kind, ParseError, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A JSON text whose key order, escapes and number text stay as written: an integer beyond 2^53
/// or a `1.10` comes out as it went in. It never changes; [`Json::set`] and the like return
/// another. Everything of [`Document`] works on it too.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(pub(crate) Document);

impl Json {
    /// Writes any serde type.
    pub fn of(value: &impl Serialize) -> Result<Json, serde_json::Error> {
        let text = serde_json::to_string(value)?;
        text.parse().map_err(serde::ser::Error::custom)
    }

    /// The compact text.
    pub fn into_text(self) -> String {
        self.0.text().to_owned()
    }

    /// The value at a dotted path. A number steps into an array; a key that itself contains dots
    /// is found where no shorter key leads on. The empty path is the whole.
    pub fn at(&self, path: &str) -> Option<Value<'_>> {
        self.0.root().at(path)
    }

    /// All values at a dotted path. Where [`Json::at`] needs an index into an array, this steps
    /// through all its elements: `labels.name` finds the name of each label.
    pub fn find(&self, path: &str) -> Vec<Value<'_>> {
        let mut found = Vec::new();
        collect(self.0.root(), path, &mut found);
        found
    }
}

/// Adds what `path` leads to from `value`. True if there was anything.
fn collect<'a>(value: Value<'a>, path: &str, found: &mut Vec<Value<'a>>) -> bool {
    if path.is_empty() {
        found.push(value);
        return true;
    }
    match value.kind() {
        Kind::Object => {
            let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
            ends.into_iter().any(|end| {
                let rest = path.get(end + 1..).unwrap_or_default();
                value.get(&path[..end]).is_some_and(|member| collect(member, rest, found))
            })
        }
        Kind::Array => {
            let (head, rest) = path.split_once('.').unwrap_or((path, ""));
            match head.parse::<usize>() {
                Ok(index) => {
                    value.elements().nth(index).is_some_and(|one| collect(one, rest, found))
                }
                Err(_) => value.elements().fold(false, |any, one| collect(one, path, found) | any),
            }
        }
        _ => false,
    }
}

impl Deref for Json {
    type Target = Document;

    fn deref(&self) -> &Document {
        &self.0
    }
}

impl FromStr for Json {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Json, ParseError> {
        text.parse().map(Json)
    }
}

impl From<Document> for Json {
    fn from(document: Document) -> Json {
        Json(document)
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Json {
        Json(value.into())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.text())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.text())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        Document::deserialize(deserializer).map(Json)
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

    fn found(text: &str, path: &str) -> Vec<String> {
        let json: Json = text.parse().unwrap();
        json.find(path).into_iter().map(|value| value.raw().to_owned()).collect()
    }

    #[test]
    fn find_steps_through_arrays() {
        let text = r#"{"a": [{"b": 1}, {"b": [2, {"c": 3}]}, [{"b": 4}], 5]}"#;
        assert_eq!(found(text, "a.b"), ["1", "[2,{\"c\":3}]", "4"]);
        assert_eq!(found(text, "a.b.c"), ["3"]);
        assert_eq!(found(text, "a.1.b.0"), ["2"]);
        assert!(found(text, "a.9.b").is_empty());
    }

    #[test]
    fn find_takes_keys_with_dots_where_no_shorter_key_leads_on() {
        let text = r#"{"a": {"x": 1}, "a.b": {"c": 2}}"#;
        assert_eq!(found(text, "a.b.c"), ["2"]);
        assert_eq!(found(text, "a.x"), ["1"]);
        assert_eq!(found(text, ""), [r#"{"a":{"x":1},"a.b":{"c":2}}"#]);
    }
}
