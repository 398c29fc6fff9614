//! Compares two JSON documents member by member. Numbers differ if their text differs.

use std::borrow::Cow;
use std::collections::HashMap;

use antar_json::{Document, Kind, Value};
use serde::Serialize;

use crate::model::pointer_token;

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// `add`, `remove` or `replace`, as in JSON Patch (RFC 6902).
    pub op: &'static str,
    /// A JSON pointer.
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Document>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Document>,
}

/// The differences from `before` to `after`, in the order of `before`, with additions at the end; only
/// the first [`CHANGES_MAX`] are returned.
#[must_use]
pub fn diff(before: Value<'_>, after: Value<'_>) -> Vec<Change> {
    let mut differences = Differences { path: String::new(), changes: Vec::new() };
    differences.compare(before, after);
    differences.changes
}

/// Limits the list to what people can read.
pub const CHANGES_MAX: usize = 200;

struct Differences {
    /// Where the comparison is.
    path: String,
    changes: Vec<Change>,
}

impl Differences {
    fn compare(&mut self, before: Value<'_>, after: Value<'_>) {
        match (before.kind(), after.kind()) {
            _ if before.raw() == after.raw() => {}
            (Kind::Object, Kind::Object) => {
                let (earlier, later) = (by_key(before), by_key(after));
                for (key, value) in before.members() {
                    let key = key.as_str().unwrap_or_default();
                    self.step(&key, Some(value), later.get(&key).copied());
                }
                for (key, value) in after.members() {
                    let key = key.as_str().unwrap_or_default();
                    if !earlier.contains_key(&key) {
                        self.step(&key, None, Some(value));
                    }
                }
            }
            (Kind::Array, Kind::Array) => {
                let (mut before, mut after) = (before.elements(), after.elements());
                for index in 0.. {
                    let (one, other) = (before.next(), after.next());
                    if one.is_none() && other.is_none() {
                        break;
                    }
                    self.step(&index.to_string(), one, other);
                }
            }
            _ => self.push(Some(before), Some(after)),
        }
    }

    /// Compares the values under a key or at an index.
    fn step(&mut self, key: &str, before: Option<Value<'_>>, after: Option<Value<'_>>) {
        if self.changes.len() == CHANGES_MAX {
            return;
        }
        let above = self.path.len();
        self.path.push('/');
        self.path.push_str(&pointer_token(key));
        match (before, after) {
            (Some(before), Some(after)) => self.compare(before, after),
            (before, after) => self.push(before, after),
        }
        self.path.truncate(above);
    }

    fn push(&mut self, before: Option<Value<'_>>, after: Option<Value<'_>>) {
        let op = match (&before, &after) {
            (None, _) => "add",
            (_, None) => "remove",
            _ => "replace",
        };
        let document = |value: Value<'_>| value.to_document();
        let (before, after) = (before.map(document), after.map(document));
        self.changes.push(Change { op, path: self.path.clone(), before, after });
    }
}

/// The members of an object; of equal keys the last one.
fn by_key(object: Value<'_>) -> HashMap<Cow<'_, str>, Value<'_>> {
    object.members().map(|(key, value)| (key.as_str().unwrap_or_default(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(before: &str, after: &str) -> Vec<String> {
        let (before, after): (Document, Document) =
            (before.parse().unwrap(), after.parse().unwrap());
        let text =
            |d: &Option<Document>| d.as_ref().map_or("-".to_owned(), |d| d.text().to_owned());
        let line =
            |c: &Change| format!("{} {} {} {}", c.op, c.path, text(&c.before), text(&c.after));
        diff(before.root(), after.root()).iter().map(line).collect()
    }

    #[test]
    fn members_elements_and_kinds() {
        assert_eq!(
            lines(
                r#"{"a": 1, "b": {"c": "x", "d/e": [1, 2]}, "gone": null, "same": [{}]}"#,
                r#"{"a": 1.0, "b": {"c": "y", "d/e": [1, 3, {}]}, "same": [{}], "new": true}"#,
            ),
            [
                "replace /a 1 1.0",
                r#"replace /b/c "x" "y""#,
                "replace /b/d~1e/1 2 3",
                "add /b/d~1e/2 - {}",
                "remove /gone null -",
                "add /new - true",
            ]
        );
        assert_eq!(lines("[1]", "{}"), ["replace  [1] {}"]);
        assert_eq!(lines(r#"{"a": [1]}"#, r#"{"a":[1]}"#), Vec::<String>::new());
    }
}
