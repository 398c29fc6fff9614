//! Inbound HTTP calls, as the document that a source looks at.

use std::collections::{HashMap, HashSet};

use antar_json::{Builder, Document};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::intake::parse_document;
use super::multipart::{self, FieldValue};
use crate::config::IntakeConfig;
use crate::content_coding::{Codings, Decoded, End};
use crate::media_type::MediaType;
use crate::model::{BodyForm, Invalid};

/// One inbound HTTP call.
#[derive(Clone)]
pub struct Call {
    pub method: String,
    /// The path without the secret segment; segments after it remain.
    pub path: String,
    pub query: String,
    /// The URL that was called: `server.public_url`, and path and query as received.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As received.
    pub body: Bytes,
}

/// How a source reads its calls.
#[derive(Default)]
pub struct Reading {
    pub read_as: Option<BodyForm>,
    /// Names of form fields that hold JSON.
    pub json_fields: HashSet<String>,
    /// Headers and query parameters that hold a secret: no part of the document.
    pub secret_headers: Vec<String>,
    pub secret_parameters: Vec<String>,
}

/// What a source looks at: `{"method", "path", "query", "headers", "body"}`.
pub struct CallDocument {
    pub document: Document,
    /// The body is empty, which is `{}` where data is wanted.
    pub is_empty: bool,
    /// Why the body is text although its type says JSON.
    pub no_json: Option<String>,
}

/// Headers that carry the caller's credentials; events do not contain them.
const LEFT_OUT: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "set-cookie"];

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<String> {
        fields_of(self.query.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn media_type(&self) -> Option<MediaType> {
        self.header("content-type").and_then(MediaType::parse)
    }

    pub fn is_form(&self) -> bool {
        self.media_type().is_some_and(|media_type| media_type.is(FORM))
    }

    /// Whether the body has a content coding, so that it may be much longer than it was sent.
    pub fn is_coded(&self) -> bool {
        self.header("content-encoding").is_some()
    }

    /// The call as a document; a body that is not text becomes `body_base64`.
    ///
    /// # Errors
    /// The body has a content coding that is unknown or broken, or is too long without it.
    pub fn document(
        &self,
        reading: &Reading,
        limits: &IntakeConfig,
    ) -> Result<CallDocument, Invalid> {
        let body = self.decoded(limits)?;
        let mut out = Builder::new();
        out.object().key("method").string(&self.method).key("path").string(&self.path);
        out.key("query");
        let is_secret = |name: &String| reading.secret_parameters.contains(name);
        let parameters = fields_of(self.query.as_bytes()).filter(|(name, _)| !is_secret(name));
        write_form(&mut out, parameters.map(text_field));
        out.key("headers").object();
        for (name, value) in &self.headers {
            let is_secret = reading.secret_headers.contains(name);
            if !is_secret && !LEFT_OUT.contains(&name.as_str()) {
                out.key(name).string(value);
            }
        }
        out.end();
        let no_json = self.write_body(&mut out, &body, reading, limits)?;
        out.end();
        Ok(CallDocument { document: out.finish(), is_empty: body.is_empty(), no_json })
    }

    /// The body without its content coding.
    fn decoded(&self, limits: &IntakeConfig) -> Result<Bytes, Invalid> {
        let Some(text) = self.header("content-encoding") else { return Ok(self.body.clone()) };
        let refuse = |code, detail: String| Invalid { code, ..Invalid::at("", detail) };
        let codings = Codings::parse(text).map_err(|unknown| {
            let detail = format!(
                "the body has the content coding `{unknown}`; gzip, deflate, br and zstd are known"
            );
            refuse("unsupported_media_type", detail)
        })?;
        let max = limits.body_bytes_max;
        let Decoded { bytes, end } = codings.decode(&self.body, max);
        match end {
            End::Whole => Ok(bytes.into()),
            End::TooLong => {
                let detail = format!(
                    "the body is longer than {max} bytes without its content coding (intake.body_bytes_max)"
                );
                Err(refuse("body_too_large", detail))
            }
            End::Broken(error) => {
                let detail =
                    format!("the body is no {text} as its `Content-Encoding` says: {error}");
                Err(refuse("malformed_json", detail))
            }
        }
    }

    /// Writes the body. Returns why it is text although its type says JSON.
    fn write_body(
        &self,
        out: &mut Builder,
        body: &[u8],
        reading: &Reading,
        limits: &IntakeConfig,
    ) -> Result<Option<String>, Invalid> {
        if body.is_empty() {
            out.key("body").null();
            return Ok(None);
        }
        let media_type = self.media_type();
        let is = |essence| media_type.as_ref().is_some_and(|media_type| media_type.is(essence));
        let form = match reading.read_as {
            Some(form) => Some(form),
            None if is(FORM) => Some(BodyForm::Form),
            None if is(MULTIPART) => {
                let boundary = media_type.as_ref().and_then(|it| it.parameter("boundary"));
                let fields = multipart::fields(body, boundary.unwrap_or_default(), limits)?;
                out.key("body");
                write_form(out, fields.into_iter().map(|field| as_json(field, reading, limits)));
                return Ok(None);
            }
            None if media_type.as_ref().is_some_and(MediaType::is_json) => Some(BodyForm::Json),
            None => None,
        };
        if form == Some(BodyForm::Form) {
            out.key("body");
            let fields = fields_of(body).map(text_field);
            write_form(out, fields.map(|field| as_json(field, reading, limits)));
            return Ok(None);
        }
        let mut no_json = None;
        let has_type = self.header("content-type").is_some_and(|text| !text.trim().is_empty());
        if form == Some(BodyForm::Json) || (form.is_none() && !has_type) {
            match parse_document(body, limits) {
                Ok(document) => {
                    out.key("body").copy(document.root());
                    return Ok(None);
                }
                Err(error) => no_json = form.map(|_| error.to_string()),
            }
        }
        match std::str::from_utf8(body) {
            Ok(text) => out.key("body").string(text.strip_prefix('\u{FEFF}').unwrap_or(text)),
            Err(_) => out.key("body_base64").string(&BASE64_STANDARD.encode(body)),
        };
        Ok(no_json)
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

/// The fields of a query or form.
pub(super) fn fields_of(form: &[u8]) -> impl Iterator<Item = (String, String)> {
    let fields = url::form_urlencoded::parse(form);
    fields.map(|(name, value)| (name.into_owned(), value.into_owned()))
}

fn text_field((name, value): (String, String)) -> (String, FieldValue) {
    (name, FieldValue::Text(value))
}

/// Reads a field as JSON if the source says that it is, and it is.
fn as_json(
    (name, value): (String, FieldValue),
    reading: &Reading,
    limits: &IntakeConfig,
) -> (String, FieldValue) {
    let FieldValue::Text(text) = &value else { return (name, value) };
    let document = if reading.json_fields.contains(&name) {
        parse_document(text.as_bytes(), limits).ok()
    } else {
        None
    };
    (name, document.map_or(value, FieldValue::Json))
}

/// Writes fields as an object; a repeated name becomes an array.
fn write_form(out: &mut Builder, form: impl Iterator<Item = (String, FieldValue)>) {
    let mut fields: Vec<(String, Vec<FieldValue>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (name, value) in form {
        let place = *places.entry(name.clone()).or_insert(fields.len());
        match fields.get_mut(place) {
            Some((_, values)) => values.push(value),
            None => fields.push((name, vec![value])),
        }
    }
    out.object();
    for (name, values) in fields {
        out.key(&name);
        if let [one] = values.as_slice() {
            one.write(out);
        } else {
            out.array();
            values.iter().for_each(|value| value.write(out));
            out.end();
        }
    }
    out.end();
}
