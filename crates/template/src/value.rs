//! Values during rendering: views into the event, and results of helpers.

use std::borrow::Cow;
use std::rc::Rc;

use antar_json::{Builder, Document, Kind, Value, escape_into};

use crate::decimal::Decimal;

#[derive(Clone, Debug)]
pub(crate) enum Val<'a> {
    /// The event has no such value.
    Missing,
    Bool(bool),
    /// The text of a JSON number.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    Json(Value<'a>),
    /// A document that a helper made.
    Made(Rc<Document>),
}

impl<'a> From<Option<Value<'a>>> for Val<'a> {
    fn from(found: Option<Value<'a>>) -> Val<'a> {
        found.map_or(Val::Missing, Val::Json)
    }
}

impl<'a> Val<'a> {
    pub(crate) fn number(number: usize) -> Val<'a> {
        Val::Number(Cow::Owned(number.to_string()))
    }

    pub(crate) fn text(text: String) -> Val<'a> {
        Val::Text(Cow::Owned(text))
    }

    /// The value as a view, if it is one.
    pub(crate) fn view(&self) -> Option<Value<'_>> {
        match self {
            Val::Json(value) => Some(*value),
            Val::Made(document) => Some(document.root()),
            _ => None,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Val::Missing => Kind::Null,
            Val::Bool(_) => Kind::Bool,
            Val::Number(_) => Kind::Number,
            Val::Text(_) => Kind::String,
            Val::Json(value) => value.kind(),
            Val::Made(document) => document.root().kind(),
        }
    }

    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Val::Missing)
    }

    /// Null or missing.
    pub(crate) fn is_absent(&self) -> bool {
        self.kind() == Kind::Null
    }

    pub(crate) fn is_container(&self) -> bool {
        matches!(self.kind(), Kind::Array | Kind::Object)
    }

    /// Truthiness as in Handlebars: false, null, missing, 0, empty text and an empty array are false; an
    /// object is always true.
    pub(crate) fn truthy(&self, zero_is_true: bool) -> bool {
        match self.kind() {
            Kind::Null => false,
            Kind::Bool => self.as_bool() == Some(true),
            Kind::Number => zero_is_true || !self.decimal().is_some_and(|number| number.is_zero()),
            Kind::String => self.as_text().is_some_and(|text| !text.is_empty()),
            Kind::Array => self.view().is_some_and(|view| view.elements().next().is_some()),
            Kind::Object => true,
        }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self {
            Val::Bool(value) => Some(*value),
            _ => self.view()?.as_bool(),
        }
    }

    /// The characters of a text.
    pub(crate) fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Val::Text(text) => Some(Cow::Borrowed(text)),
            _ => self.view()?.as_str(),
        }
    }

    pub(crate) fn as_number(&self) -> Option<&str> {
        match self {
            Val::Number(text) => Some(text),
            _ => self.view()?.as_number(),
        }
    }

    pub(crate) fn decimal(&self) -> Option<Decimal> {
        Decimal::read(self.as_number()?)
    }

    /// Text, numbers and booleans as text; `None` for arrays, objects and absent values.
    pub(crate) fn scalar(&self) -> Option<Cow<'_, str>> {
        match self.kind() {
            Kind::String => self.as_text(),
            Kind::Number => self.as_number().map(Cow::Borrowed),
            Kind::Bool => {
                Some(Cow::Borrowed(if self.as_bool() == Some(true) { "true" } else { "false" }))
            }
            _ => None,
        }
    }

    /// The value as text: arrays and objects as compact JSON, empty for absent values.
    pub(crate) fn to_text(&self) -> Cow<'_, str> {
        match self.kind() {
            Kind::Array | Kind::Object => Cow::Borrowed(self.view().map_or("", Value::raw)),
            _ => self.scalar().unwrap_or_default(),
        }
    }

    /// Appends the value as JSON.
    pub(crate) fn to_json(&self, out: &mut String) {
        match self {
            Val::Missing => out.push_str("null"),
            Val::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Val::Number(text) => out.push_str(text),
            Val::Text(text) => {
                out.push('"');
                escape_into(out, text);
                out.push('"');
            }
            Val::Json(value) => out.push_str(value.raw()),
            Val::Made(document) => out.push_str(document.text()),
        }
    }

    /// Appends the value inside a JSON string; text keeps the escapes it was posted with.
    pub(crate) fn to_json_text(&self, out: &mut String) {
        match self.view() {
            Some(view) if view.kind() == Kind::String => {
                let raw = view.raw();
                out.push_str(&raw[1..raw.len() - 1]);
            }
            _ => escape_into(out, &self.to_text()),
        }
    }

    /// Copies this value into a document, for the context that a block opens.
    pub(crate) fn to_document(&self) -> Document {
        let mut builder = Builder::new();
        match self {
            Val::Missing => builder.null(),
            Val::Bool(value) => builder.bool(*value),
            Val::Text(text) => builder.string(text),
            Val::Json(value) => builder.copy(*value),
            Val::Made(document) => builder.copy(document.root()),
            Val::Number(text) => return text.parse().unwrap_or_else(|_| builder.finish()),
        };
        builder.finish()
    }

    /// Bytes of the value as text, for limits.
    pub(crate) fn length_bytes(&self) -> usize {
        match self {
            Val::Missing | Val::Bool(_) => 4,
            Val::Number(text) | Val::Text(text) => text.len(),
            Val::Json(value) => value.raw().len(),
            Val::Made(document) => document.text().len(),
        }
    }
}
