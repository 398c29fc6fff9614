//! JSON values that keep the text of their numbers.
//!
//! A `serde_json::Value` holds a number in 64 bits: `1.10` becomes `1.1`, and an id of twenty digits another one. Here a
//! number that would be written otherwise stands in a value as a text that no document has, until the value is text
//! again.

use antar_json::{Document, Kind, ParseError, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value as Json};

/// Begins the text of a number. A stored text never has this character.
const MARK: char = '\0';

/// A number by its text, which must be one of JSON.
pub(crate) fn number(text: &str) -> Json {
    match serde_json::from_str::<Number>(text) {
        Ok(number) if number.to_string() == text => Json::Number(number),
        _ => Json::String(format!("{MARK}{text}")),
    }
}

/// The number that stands here as a text.
fn as_number(text: &str) -> Option<&str> {
    text.strip_prefix(MARK).filter(|number| is_json_number(number))
}

/// Whether a text is a number of JSON (RFC 8259 §6), of any size.
pub(crate) fn is_json_number(text: &str) -> bool {
    text.parse::<Document>().is_ok_and(|document| document.root().kind() == Kind::Number)
}

/// Whether a value is a number, however it stands here.
pub(crate) fn is_number(value: &Json) -> bool {
    value.is_number() || value.as_str().is_some_and(|text| as_number(text).is_some())
}

pub(crate) fn parse(text: &[u8]) -> Result<Json, ParseError> {
    let limits = antar_json::Limits { bytes_max: usize::MAX, ..antar_json::Limits::default() };
    Ok(value(Document::parse(text, limits)?.root()))
}

fn value(of: Value<'_>) -> Json {
    match of.kind() {
        Kind::Number => number(of.raw()),
        Kind::Array => of.elements().map(value).collect(),
        Kind::Object => {
            let member = |(key, of): (Value<'_>, Value<'_>)| {
                (key.as_str().unwrap_or_default().into_owned(), value(of))
            };
            Json::Object(of.members().map(member).collect::<Map<_, _>>())
        }
        Kind::Null | Kind::Bool | Kind::String => of.to_serde(),
    }
}

/// The text of a value, with its numbers as they were read.
pub(crate) fn text(value: &Json) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: &Json) {
    match value {
        Json::String(text) => match as_number(text) {
            Some(number) => out.push_str(number),
            None => out.push_str(&antar_json::quote(text)),
        },
        Json::Array(elements) => {
            out.push('[');
            for (number, element) in elements.iter().enumerate() {
                out.push_str(if number > 0 { "," } else { "" });
                write(out, element);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (number, (key, member)) in members.iter().enumerate() {
                out.push_str(if number > 0 { "," } else { "" });
                out.push_str(&antar_json::quote(key));
                out.push(':');
                write(out, member);
            }
            out.push('}');
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => out.push_str(&value.to_string()),
    }
}

/// Reads a value as a type. The error is a sentence without a place, since there is no text that it could be in.
pub(crate) fn read<T: DeserializeOwned>(value: &Json) -> Result<T, String> {
    serde_json::from_str(&text(value)).map_err(|error| {
        let text = error.to_string();
        text.rsplit_once(" at line ").map_or(text.as_str(), |(detail, _)| detail).to_owned()
    })
}

pub(crate) fn of<T: Serialize>(from: &T) -> Result<Json, String> {
    let text = serde_json::to_string(from).map_err(|error| error.to_string())?;
    parse(text.as_bytes()).map_err(|error| error.to_string())
}

/// The value for people: all numbers as they are written.
pub(crate) fn shown(value: &Json) -> Json {
    match value {
        Json::String(text) => as_number(text).unwrap_or(text).into(),
        Json::Array(elements) => elements.iter().map(shown).collect(),
        Json::Object(members) => {
            Json::Object(members.iter().map(|(key, member)| (key.clone(), shown(member))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_text() {
        let text = r#"{"id":[82025227314455255421,-0.0],"price":1.10,"n":1e400,"i":7,"f":0.1,"s":"1.10","t":"\u0000x"}"#;
        let value = parse(text.as_bytes()).unwrap();
        assert_eq!(super::text(&value), text);
        assert_eq!(value["i"], 7);
        let document: Document = read(&value).unwrap();
        assert_eq!(document.text(), text);
        assert_eq!(of(&document).unwrap(), value);
        assert_eq!(shown(&value)["price"], "1.10");
    }

    #[test]
    fn types_read_them_as_numbers() {
        let value = parse(br#"{"a":[1.50,2.0]}"#).unwrap();
        let read: std::collections::HashMap<String, Vec<f64>> = super::read(&value).unwrap();
        assert_eq!(read["a"], [1.5, 2.0]);
        let error = super::read::<Vec<u32>>(&value).unwrap_err();
        assert!(!error.contains("line"), "{error}");
    }
}
