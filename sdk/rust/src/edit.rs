//! Edited copies of JSON texts. Everything that is not changed is copied byte for byte.

use antar_json::{Builder, Kind, Value};
use serde::Serialize;

use crate::Json;

impl Json {
    /// Returns a copy with `value` at `path`. An existing key keeps its position; a new one is
    /// added last, together with missing objects on the way to it. A number is an index into an
    /// array; one beyond the end appends.
    pub fn set(&self, path: &str, value: &impl Serialize) -> Result<Json, serde_json::Error> {
        let new = Json::of(value)?;
        let mut out = Builder::new();
        match self.at(path) {
            Some(old) => replace(self.root(), old, new.root(), &mut out),
            None => add(Some(self.root()), path, new.root(), &mut out),
        }
        Ok(Json::from(out.finish()))
    }

    /// Returns a copy without the value at `path` and its key.
    #[must_use]
    pub fn without(&self, path: &str) -> Json {
        let Some(gone) = self.at(path) else { return self.clone() };
        let mut out = Builder::new();
        remove(self.root(), gone, &mut out);
        Json::from(out.finish())
    }

    /// Returns a copy in which `write` may replace any value. It is called for values in order,
    /// outer ones first, and returns true if it wrote a replacement.
    #[must_use]
    pub fn rewrite(&self, mut write: impl FnMut(Value<'_>, &mut Builder) -> bool) -> Json {
        let mut out = Builder::new();
        rewrite(self.root(), &mut out, &mut write);
        Json::from(out.finish())
    }
}

/// Whether two views into one document are of the same value: every value starts at another byte.
fn is_same(a: Value<'_>, b: Value<'_>) -> bool {
    std::ptr::eq(a.raw().as_ptr(), b.raw().as_ptr())
}

fn contains(value: Value<'_>, inner: Value<'_>) -> bool {
    value.raw().as_bytes().as_ptr_range().contains(&inner.raw().as_ptr())
}

fn rewrite(
    value: Value<'_>,
    out: &mut Builder,
    write: &mut impl FnMut(Value<'_>, &mut Builder) -> bool,
) {
    if write(value, out) {
        return;
    }
    match value.kind() {
        Kind::Object => {
            out.object();
            for (key, member) in value.members() {
                out.copy_key(key);
                rewrite(member, out, write);
            }
            out.end();
        }
        Kind::Array => {
            out.array();
            value.elements().for_each(|element| rewrite(element, out, write));
            out.end();
        }
        _ => {
            out.copy(value);
        }
    }
}

fn replace(value: Value<'_>, old: Value<'_>, new: Value<'_>, out: &mut Builder) {
    rewrite(value, out, &mut |at, out| {
        if is_same(at, old) {
            out.copy(new);
        } else if contains(at, old) {
            return false;
        } else {
            out.copy(at);
        }
        true
    });
}

fn remove(value: Value<'_>, gone: Value<'_>, out: &mut Builder) {
    if !contains(value, gone) {
        out.copy(value);
        return;
    }
    if value.kind() == Kind::Object {
        out.object();
        for (key, member) in value.members().filter(|(_, member)| !is_same(*member, gone)) {
            out.copy_key(key);
            remove(member, gone, out);
        }
        out.end();
    } else if value.kind() == Kind::Array {
        out.array();
        for element in value.elements().filter(|element| !is_same(*element, gone)) {
            remove(element, gone, out);
        }
        out.end();
    }
}

/// Writes `value`, or an object if there is none, with `new` at a path that does not exist yet.
fn add(value: Option<Value<'_>>, path: &str, new: Value<'_>, out: &mut Builder) {
    if path.is_empty() {
        out.copy(new);
        return;
    }
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    if let Some(array) = value.filter(|v| v.kind() == Kind::Array && head.parse::<usize>().is_ok())
    {
        let index = head.parse().unwrap_or(usize::MAX);
        out.array();
        for (at, element) in array.elements().enumerate() {
            if at == index {
                add(Some(element), rest, new, out);
            } else {
                out.copy(element);
            }
        }
        if array.elements().count() <= index {
            add(None, rest, new, out);
        }
        out.end();
        return;
    }
    out.object();
    let mut is_there = false;
    for (key, member) in value.into_iter().flat_map(Value::members) {
        out.copy_key(key);
        if key.str_eq(head) {
            is_there = true;
            add(Some(member), rest, new, out);
        } else {
            out.copy(member);
        }
    }
    if !is_there {
        out.key(head);
        add(None, rest, new, out);
    }
    out.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"id":8202522731445525542,"price":1.10,"contact":{"name":"Ay\u0075","tags":["a","b"]},"last":null}"#;

    fn set(path: &str, value: impl Serialize) -> String {
        TEXT.parse::<Json>().unwrap().set(path, &value).unwrap().into_text()
    }

    #[test]
    fn set_replaces_in_place() {
        assert_eq!(set("contact.name", "Budi"), TEXT.replace("Ay\\u0075", "Budi"));
        assert_eq!(set("contact.tags.1", 7), TEXT.replace("\"b\"", "7"));
        assert_eq!(set("last", ["x"]), TEXT.replace("null", "[\"x\"]"));
        assert_eq!(set("", 1), "1");
    }

    #[test]
    fn set_adds_at_the_end_with_what_is_missing_on_the_way() {
        assert_eq!(set("contact.phone", "+62"), TEXT.replace("]}", "],\"phone\":\"+62\"}"));
        assert_eq!(set("a.b", 1), TEXT.replace("null}", "null,\"a\":{\"b\":1}}"));
        assert_eq!(set("contact.tags.9", "c"), TEXT.replace("\"b\"", "\"b\",\"c\""));
        assert_eq!(set("price.net", 1), TEXT.replace("1.10", "{\"net\":1}"));
    }

    #[test]
    fn without_takes_the_key_along() {
        let json: Json = TEXT.parse().unwrap();
        assert_eq!(json.without("price").text(), TEXT.replace("\"price\":1.10,", ""));
        assert_eq!(json.without("contact.tags.0").text(), TEXT.replace("\"a\",", ""));
        assert_eq!(json.without("nothing.there"), json);
    }

    #[test]
    fn rewrite_that_writes_nothing_copies() {
        let json: Json = TEXT.parse().unwrap();
        assert_eq!(json.rewrite(|_, _| false), json);
    }
}
