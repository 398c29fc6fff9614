//! Follows a path through an event.
//!
//! `a.b` and `{"a": {"b": …}}` are the same path, in patterns and in events, so one key of an event may
//! take several steps at once. Arrays take no step: their elements have the path of the array.

use std::ops::ControlFlow;

use antar_json::{Kind, OutOfSteps, Steps, Value};

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
pub(crate) struct Visit<'s, F> {
    chain: Vec<Link>,
    steps: &'s Steps,
    see: F,
}

/// Whether the walk goes on.
type Flow = Result<ControlFlow<()>, OutOfSteps>;

const GO_ON: Flow = Ok(ControlFlow::Continue(()));

impl<'e, F: FnMut(Value<'e>, &[Link]) -> Flow> Visit<'_, F> {
    pub(crate) fn run(
        event: Value<'e>,
        path: &[Box<str>],
        steps: &Steps,
        see: F,
    ) -> Result<(), OutOfSteps> {
        // A break only ends the walk early.
        Visit { chain: Vec::new(), steps, see }.value(event, path, 0).map(|_| ())
    }

    fn value(&mut self, value: Value<'e>, path: &[Box<str>], depth: usize) -> Flow {
        if depth > DEPTH_MAX {
            return GO_ON;
        }
        match value.kind() {
            Kind::Object if path.is_empty() => GO_ON,
            Kind::Object => {
                for (key, member) in value.members() {
                    self.steps.read(key.raw().len())?;
                    if let Some(rest) = step(path, key)
                        && self.value(member, rest, depth + 1)?.is_break()
                    {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                GO_ON
            }
            Kind::Array => self.array(value, path, depth),
            _ if path.is_empty() => (self.see)(value, &self.chain),
            _ => GO_ON,
        }
    }

    fn array(&mut self, array: Value<'e>, path: &[Box<str>], depth: usize) -> Flow {
        let (start, end) = (address(array), address(array) + array.raw().len());
        for element in array.elements() {
            self.steps.take(1)?;
            let links = matches!(element.kind(), Kind::Object | Kind::Array);
            if links {
                self.chain.push(Link { array: start, array_end: end, element: address(element) });
            }
            let flow = self.value(element, path, depth + 1)?;
            if links {
                self.chain.pop();
            }
            if flow.is_break() {
                return Ok(flow);
            }
        }
        GO_ON
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
