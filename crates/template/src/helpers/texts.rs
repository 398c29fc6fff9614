//! The helpers `truncate`, `replace`, `join` and `split`.

use std::rc::Rc;

use antar_json::{Builder, Kind, Value};

use super::Failure;
use crate::value::Val;

/// Reads a number of characters.
pub(super) fn characters(value: &Val<'_>) -> Result<usize, String> {
    let number = value.as_number().map(str::to_owned).or_else(|| value.as_text().map(Into::into));
    let number = number.and_then(|text| text.parse().ok());
    number.ok_or_else(|| "needs a whole number of characters".to_owned())
}

/// Truncates a text to at most `most` characters, including the mark at the end.
pub(super) fn truncate<'a>(text: &str, most: usize, end: Option<&Val<'_>>) -> Val<'a> {
    if text.chars().nth(most).is_none() {
        return Val::text(text.to_owned());
    }
    let end = end.and_then(Val::scalar).unwrap_or_default();
    let end: String = end.chars().take(most).collect();
    let kept = most - end.chars().count();
    Val::text(text.chars().take(kept).chain(end.chars()).collect())
}

pub(super) fn replace<'a>(
    text: &str,
    from: &Val<'_>,
    to: &Val<'_>,
    length_max: usize,
) -> Result<Option<Val<'a>>, Failure> {
    let (from, to) = (from.to_text(), to.to_text());
    if from.is_empty() {
        return Ok(Some(Val::text(text.to_owned())));
    }
    let added = text.matches(from.as_ref()).count().saturating_mul(to.len());
    if added > length_max {
        return Err(Failure::TooLong);
    }
    Ok(Some(Val::text(text.replace(from.as_ref(), &to))))
}

pub(super) fn join<'a>(
    list: &Val<'_>,
    separator: Option<&Val<'_>>,
    key: Option<&Val<'_>>,
    length_max: usize,
) -> Result<Option<Val<'a>>, Failure> {
    let Some(list) = list.view().filter(|list| list.kind() == Kind::Array) else {
        return Ok(list.scalar().map(|text| Val::text(text.into_owned())));
    };
    let separator = separator.map_or(", ".into(), Val::to_text);
    let key = key.map(Val::to_text);
    let mut out = String::new();
    let picked = |element: Value<'_>| match &key {
        Some(key) => element.at(key).map(|found| Val::Json(found).to_text().into_owned()),
        None => Some(Val::Json(element).to_text().into_owned()),
    };
    for text in list.elements().filter_map(picked).filter(|text| !text.is_empty()) {
        if !out.is_empty() {
            out.push_str(&separator);
        }
        out.push_str(&text);
        if out.len() > length_max {
            return Err(Failure::TooLong);
        }
    }
    Ok(Some(Val::text(out)))
}

pub(super) fn split<'a>(text: &str, separator: &Val<'_>) -> Result<Option<Val<'a>>, Failure> {
    let Some(separator) = separator.scalar() else { return Ok(None) };
    if separator.is_empty() {
        return Err("needs a separator that is not empty".to_owned().into());
    }
    let mut builder = Builder::new();
    builder.array();
    if !text.is_empty() {
        for part in text.split(separator.as_ref()) {
            builder.string(part);
        }
    }
    builder.end();
    Ok(Some(Val::Made(Rc::new(builder.finish()))))
}
