//! Dotted paths through JSON, in parsed documents and in unparsed text.

use std::borrow::Cow;

use antar_json::{Kind, Scan, Value};

/// Access to a value, parsed or not.
pub(crate) trait View<'a>: Copy {
    fn kind(self) -> Kind;
    fn raw(self) -> &'a str;
    fn as_str(self) -> Option<Cow<'a, str>>;
    fn elements(self) -> impl Iterator<Item = Self>;
    /// Members whose key is a prefix of `path`, with the rest of the path.
    fn members_along(self, path: &str) -> impl Iterator<Item = (Self, &str)>;
}

macro_rules! view {
    ($view:ident) => {
        impl<'a> View<'a> for $view<'a> {
            fn kind(self) -> Kind {
                $view::kind(self)
            }

            fn raw(self) -> &'a str {
                $view::raw(self)
            }

            fn as_str(self) -> Option<Cow<'a, str>> {
                $view::as_str(self)
            }

            fn elements(self) -> impl Iterator<Item = Self> {
                $view::elements(self)
            }

            fn members_along(self, path: &str) -> impl Iterator<Item = (Self, &str)> {
                $view::members_along(self, path)
            }
        }
    };
}

view!(Value);
view!(Scan);

/// All values at `path`. Arrays on the way are stepped through, or indexed by a number; a key that
/// itself contains dots is found if no shorter key leads on.
pub(crate) fn find<'a, V: View<'a>>(root: V, path: &str) -> Vec<V> {
    let mut found = Vec::new();
    collect(root, path, &mut found);
    found
}

/// Adds the values at `path` below `value`. True if there were any.
fn collect<'a, V: View<'a>>(value: V, path: &str, found: &mut Vec<V>) -> bool {
    if path.is_empty() {
        found.push(value);
        return true;
    }
    match value.kind() {
        Kind::Object => {
            let mut ways = ways(value, path);
            ways.sort_unstable_by_key(|(_, rest)| std::cmp::Reverse(rest.len()));
            ways.into_iter().any(|(member, rest)| {
                collect(member, rest.strip_prefix('.').unwrap_or_default(), found)
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

/// Members whose key is a prefix of `path` up to a dot or its end, with the rest of the path. Of
/// duplicate keys the last one counts, as in `JSON.parse`. A single pass finds them all, because
/// each pass goes through the whole text.
fn ways<'a, 'p, V: View<'a>>(object: V, path: &'p str) -> Vec<(V, &'p str)> {
    let mut ways: Vec<(V, &str)> = Vec::new();
    for (member, rest) in object.members_along(path) {
        if !rest.is_empty() && !rest.starts_with('.') {
            continue;
        }
        ways.retain(|(_, other)| other.len() != rest.len());
        ways.push((member, rest));
    }
    ways
}

/// The text of a scalar, or of each scalar in an array.
pub(crate) fn texts<'a, V: View<'a>>(value: V) -> impl Iterator<Item = String> {
    let itself = (value.kind() != Kind::Array).then_some(value);
    itself.into_iter().chain(value.elements()).filter_map(text)
}

fn text<'a, V: View<'a>>(value: V) -> Option<String> {
    match value.kind() {
        Kind::String => value.as_str().map(Cow::into_owned),
        Kind::Number | Kind::Bool => Some(value.raw().to_owned()),
        Kind::Null | Kind::Array | Kind::Object => None,
    }
}

#[cfg(test)]
mod tests {
    use antar_json::Document;

    use super::*;

    /// The values found in a compact text, parsed and scanned.
    fn found(text: &str, path: &str) -> Vec<String> {
        let document: Document = text.parse().unwrap();
        let text = document.text();
        let raw = |value: Value<'_>| value.raw().to_owned();
        let read: Vec<_> = find(document.root(), path).into_iter().map(raw).collect();
        let scanned: Vec<_> = find(Scan::new(text), path).into_iter().map(Scan::raw).collect();
        assert_eq!(read, scanned);
        read
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
        let text = r#"{"a.b": {"c": 2}, "a": {"x": 1}, "": 3, ".": 4}"#;
        assert_eq!(found(text, "a.b.c"), ["2"]);
        assert_eq!(found(text, "a.x"), ["1"]);
        assert_eq!(found(text, "."), ["3"]);
        assert_eq!(found(text, "a."), [r#"{"x":1}"#]);
        assert_eq!(found("{\"a\":1}", ""), ["{\"a\":1}"]);
    }

    #[test]
    fn of_duplicate_keys_the_last_counts_however_it_is_written() {
        assert_eq!(found(r#"{"a": {"b": 1}, "\u0061": {"c": 2}}"#, "a.c"), ["2"]);
        assert!(found(r#"{"a": {"b": 1}, "\u0061": {"c": 2}}"#, "a.b").is_empty());
    }
}
