//! The helpers that accept absent values: `lookup`, `eq`, `ne`, `gt`, `lt`, `and`, `or`, `not`, `default`.

use std::cmp::Ordering;

use antar_json::Kind;

use super::Helper;
use crate::value::Val;

pub(super) fn call<'a>(helper: Helper, first: &Val<'a>, rest: &[Val<'a>]) -> Option<Val<'a>> {
    let second = || rest.first().unwrap_or(&Val::Missing);
    let value = match helper {
        Helper::Eq => Val::Bool(equal(first, second())),
        Helper::Ne => Val::Bool(!equal(first, second())),
        Helper::Gt => Val::Bool(order(first, second()) == Some(Ordering::Greater)),
        Helper::Lt => Val::Bool(order(first, second()) == Some(Ordering::Less)),
        Helper::Not => Val::Bool(!first.truthy(false)),
        Helper::And => decide(first, rest, |value| !value.truthy(false)),
        Helper::Or => decide(first, rest, |value| value.truthy(false)),
        Helper::Default => decide(first, rest, |value| match value.as_text() {
            Some(text) => !text.is_empty(),
            None => !value.is_absent(),
        }),
        Helper::Lookup => rest.iter().fold(first.clone(), |value, key| lookup(&value, key)),
        _ => return None,
    };
    Some(value)
}

/// The first value for which `decides` holds, otherwise the last.
fn decide<'a>(first: &Val<'a>, rest: &[Val<'a>], decides: impl Fn(&Val<'a>) -> bool) -> Val<'a> {
    let mut values = std::iter::once(first).chain(rest);
    let last = rest.last().unwrap_or(first);
    values.find(|value| decides(value)).unwrap_or(last).clone()
}

/// Whether type and value are equal; compares numbers by value (5 equals 5.0), arrays and objects by their
/// text.
fn equal(one: &Val<'_>, other: &Val<'_>) -> bool {
    if one.kind() != other.kind() {
        return false;
    }
    match one.kind() {
        Kind::Null => true,
        Kind::Bool => one.as_bool() == other.as_bool(),
        Kind::Number => order(one, other) == Some(Ordering::Equal),
        Kind::String => one.as_text() == other.as_text(),
        Kind::Array | Kind::Object => one.to_text() == other.to_text(),
    }
}

/// Compares numbers by value and texts by their characters, so that times in the same format compare as
/// times.
fn order(one: &Val<'_>, other: &Val<'_>) -> Option<Ordering> {
    match (one.decimal(), other.decimal()) {
        (Some(one), Some(other)) => Some(one.compare(&other)),
        _ => Some(one.as_text()?.cmp(&other.as_text()?)),
    }
}

fn lookup<'a>(value: &Val<'a>, key: &Val<'a>) -> Val<'a> {
    let Some(key) = key.scalar() else { return Val::Missing };
    match value {
        Val::Json(view) => step(*view, &key).into(),
        Val::Made(document) => match step(document.root(), &key) {
            Some(found) => Val::Made(std::rc::Rc::new(found.to_document())),
            None => Val::Missing,
        },
        _ => Val::Missing,
    }
}

fn step<'v>(value: antar_json::Value<'v>, key: &str) -> Option<antar_json::Value<'v>> {
    match value.kind() {
        Kind::Object => value.get(key),
        Kind::Array => value.elements().nth(key.parse().ok()?),
        _ => None,
    }
}
