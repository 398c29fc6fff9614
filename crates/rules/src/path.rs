//! Follows a path through an event.
//!
//! `a.b` and `{"a": {"b": …}}` are the same path, in patterns and in events, so one key of an event may
//! take several steps at once. Arrays take no step: their elements have the path of the array.

use std::ops::ControlFlow;

use antar_json::{Kind, Value};

/// Rules ignore deeper values. Documents are limited well below this; the constant bounds the recursion
/// without relying on the caller.
pub(crate) const DEPTH_MAX: usize = 512;

/// An element of an array, by addresses in the event's text. Two values are in different elements of one
/// array if `array` is equal and `element` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) array: usize,
    pub(crate) array_end: usize,
    pub(crate) element: usize,
}

/// Address of a value in the text of its document.
pub(crate) fn address(value: Value<'_>) -> usize {
    value.raw().as_ptr().addr()
}

/// The rest of a path after the step `key`; `None` if `key` leads elsewhere.
fn step<'p>(path: &'p [Box<str>], key: Value<'_>) -> Option<&'p [Box<str>]> {
    let (first, rest) = path.split_first()?;
    let key = key.as_str()?;
    if *key == **first {
        return Some(rest);
    }
    if !key.starts_with(&**first) {
        return None;
    }
    let mut left = path;
    for segment in key.split('.') {
        let (first, rest) = left.split_first()?;
        if **first != *segment {
            return None;
        }
        left = rest;
    }
    Some(left)
}

/// Calls `see` with every scalar at `path` and the array elements that contain it, as event-ruler counts
/// them: only elements that are objects or arrays, outermost first.
pub(crate) struct Visit<F> {
    chain: Vec<Link>,
    see: F,
}

impl<'e, F: FnMut(Value<'e>, &[Link]) -> ControlFlow<()>> Visit<F> {
    pub(crate) fn run(event: Value<'e>, path: &[Box<str>], see: F) {
        // A break only ends the walk early.
        let _ = Visit { chain: Vec::new(), see }.value(event, path, 0);
    }

    fn value(&mut self, value: Value<'e>, path: &[Box<str>], depth: usize) -> ControlFlow<()> {
        if depth > DEPTH_MAX {
            return ControlFlow::Continue(());
        }
        match value.kind() {
            Kind::Object if path.is_empty() => ControlFlow::Continue(()),
            Kind::Object => value.members().try_for_each(|(key, member)| match step(path, key) {
                Some(rest) => self.value(member, rest, depth + 1),
                None => ControlFlow::Continue(()),
            }),
            Kind::Array => self.array(value, path, depth),
            _ if path.is_empty() => (self.see)(value, &self.chain),
            _ => ControlFlow::Continue(()),
        }
    }

    fn array(&mut self, array: Value<'e>, path: &[Box<str>], depth: usize) -> ControlFlow<()> {
        let (start, end) = (address(array), address(array) + array.raw().len());
        array.elements().try_for_each(|element| {
            if !matches!(element.kind(), Kind::Object | Kind::Array) {
                return self.value(element, path, depth + 1);
            }
            self.chain.push(Link { array: start, array_end: end, element: address(element) });
            let flow = self.value(element, path, depth + 1);
            self.chain.pop();
            flow
        })
    }
}

/// Collects the values at `path` of any kind, an array as one value; at most `count_max`.
pub(crate) fn reach<'e>(
    value: Value<'e>,
    path: &[Box<str>],
    count_max: usize,
    out: &mut Vec<Value<'e>>,
    depth: usize,
) {
    if out.len() >= count_max || depth > DEPTH_MAX {
        return;
    }
    match value.kind() {
        _ if path.is_empty() => out.push(value),
        Kind::Object => {
            for (key, member) in value.members() {
                if let Some(rest) = step(path, key) {
                    reach(member, rest, count_max, out, depth + 1);
                }
            }
        }
        Kind::Array => {
            value.elements().for_each(|element| reach(element, path, count_max, out, depth + 1));
        }
        _ => {}
    }
}
