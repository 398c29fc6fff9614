//! JSON merge patch (RFC 7396) on JSON text, which preserves numbers and escapes as they were
//! posted.

use std::borrow::Cow;
use std::collections::HashMap;

use antar_json::{Builder, Document, Kind, Value};

/// Applies `patch` to `target`: `null` removes a member, objects are merged, everything else
/// replaces. Members keep the target's order; new ones follow.
#[must_use]
pub fn merge(target: Value<'_>, patch: Value<'_>) -> Document {
    let mut out = Builder::new();
    write(&mut out, Some(target), patch);
    out.finish()
}

fn write(out: &mut Builder, target: Option<Value<'_>>, patch: Value<'_>) {
    if patch.kind() != Kind::Object {
        out.copy(patch);
        return;
    }
    let target = target.filter(|target| target.kind() == Kind::Object);
    let (known, changed) = (target.map(by_key).unwrap_or_default(), by_key(patch));
    out.object();
    for (key, value) in target.into_iter().flat_map(Value::members) {
        match changed.get(&key.as_str().unwrap_or_default()).copied() {
            None => {
                out.copy_key(key).copy(value);
            }
            Some(patch) if patch.is_null() => {}
            Some(patch) => write(out.copy_key(key), Some(value), patch),
        }
    }
    for (key, value) in patch.members() {
        if !known.contains_key(&key.as_str().unwrap_or_default()) && !value.is_null() {
            write(out.copy_key(key), None, value);
        }
    }
    out.end();
}

/// The members of an object; of equal keys the last one.
fn by_key(object: Value<'_>) -> HashMap<Cow<'_, str>, Value<'_>> {
    object.members().map(|(key, value)| (key.as_str().unwrap_or_default(), value)).collect()
}

/// An object without some of its members. Other values are returned unchanged.
#[must_use]
pub(crate) fn without(object: Value<'_>, names: &[&str]) -> Document {
    if object.kind() != Kind::Object {
        return object.to_document();
    }
    let mut out = Builder::new();
    out.object();
    for (key, value) in object.members() {
        if !names.iter().any(|name| key.str_eq(name)) {
            out.copy_key(key).copy(value);
        }
    }
    out.end();
    out.finish()
}

/// An object with one member added, unless it has one of this name. Other values are returned
/// unchanged.
#[must_use]
pub(crate) fn with_default(object: Value<'_>, name: &str, value: &str) -> Document {
    if object.kind() != Kind::Object || object.get(name).is_some() {
        return object.to_document();
    }
    let mut out = Builder::new();
    out.object().key(name).string(value);
    for (key, value) in object.members() {
        out.copy_key(key).copy(value);
    }
    out.end();
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of RFC 7396, appendix A, except for the order of members.
    #[test]
    fn examples_of_the_rfc() {
        for (target, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            let (target, patch): (Document, Document) =
                (target.parse().unwrap(), patch.parse().unwrap());
            assert_eq!(merge(target.root(), patch.root()).text(), expected);
        }
    }

    #[test]
    fn number_text_stays() {
        let target: Document = r#"{"rule":{"data":{"n":[1.50]}},"name":"a"}"#.parse().unwrap();
        let patch: Document = r#"{"name":"b"}"#.parse().unwrap();
        assert_eq!(
            merge(target.root(), patch.root()).text(),
            r#"{"rule":{"data":{"n":[1.50]}},"name":"b"}"#
        );
    }

    #[test]
    fn members_out_and_in() {
        let object: Document = r#"{"a":1,"secret":"s","b":2}"#.parse().unwrap();
        assert_eq!(without(object.root(), &["secret"]).text(), r#"{"a":1,"b":2}"#);
        assert_eq!(with_default(object.root(), "a", "x").text(), object.text());
        assert_eq!(
            with_default(object.root(), "name", "x").text(),
            r#"{"name":"x","a":1,"secret":"s","b":2}"#
        );
    }
}
