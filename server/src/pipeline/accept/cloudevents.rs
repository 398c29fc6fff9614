//! CloudEvents 1.0 over HTTP: structured, batched and binary. `source`, `subject` and extensions become
//! attributes; data that is no JSON object stands under the member `value`. Uses Antar's own JSON documents
//! instead of a library, because libraries pass numbers and keys through `f64` and sorted maps.

use std::borrow::Cow;

use antar_json::{Builder, Document, Kind, Value};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::intake::{Draft, Reader, parse_document};
use crate::config::IntakeConfig;
use crate::media_type::MediaType;
use crate::model::{Attributes, EventId, EventType, Invalid, Millis, pointer_token};

/// The attribute with a type as it came, where it is none of ours.
const TYPE_AS_IT_CAME: &str = "cloudevents_type";

/// Reads an event in JSON format (CloudEvents JSON Event Format §3).
pub fn structured(event: Value<'_>, limits: &IntakeConfig) -> Result<Draft, Invalid> {
    if event.kind() != Kind::Object {
        return Err(Invalid::at("", "a CloudEvent is a JSON object"));
    }
    let mut fields = Fields::default();
    let (mut data, mut base64) = (None, false);
    for (key, value) in event.members() {
        let name = key.as_str().unwrap_or_default();
        match name.as_ref() {
            "data" => data = Some(value),
            "data_base64" => {
                base64 = true;
                data = Some(value);
                let is_base64 = value
                    .as_str()
                    .is_some_and(|text| BASE64_STANDARD.decode(text.as_bytes()).is_ok());
                if !is_base64 {
                    fields.reader.error("/data_base64", "is a string in base64 (RFC 4648 §4)");
                }
            }
            _ => fields.attribute(&name, value, limits),
        }
    }
    if base64 && event.members().any(|(key, _)| key.str_eq("data")) {
        fields.reader.error("/data_base64", "stands beside `data`; a CloudEvent has one of them");
    }
    fields.finish(data.map_or_else(Document::empty_object, data_of))
}

/// Reads an event in binary mode (HTTP Protocol Binding §3.1): `ce-` headers and the data as body.
pub fn binary<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    body: &[u8],
    limits: &IntakeConfig,
) -> Result<Draft, Invalid> {
    let mut fields = Fields::default();
    let mut content_type = None;
    for (name, value) in headers {
        if name == "content-type" {
            content_type = std::str::from_utf8(value).ok();
        }
        let Some(attribute) = name.strip_prefix("ce-") else { continue };
        let decoded = header_text(value).ok_or_else(|| {
            let detail = "is no UTF-8 in percent-encoding (CloudEvents HTTP binding §3.1.3.2)";
            Invalid { code: "bad_parameter", ..Invalid::at(format!("/{name}"), detail) }
        })?;
        let document = Document::from(&serde_json::Value::from(decoded));
        fields.attribute(attribute, document.root(), limits);
    }
    if let Some(content_type) = content_type {
        let document = Document::from(&serde_json::Value::from(content_type));
        fields.attribute("datacontenttype", document.root(), limits);
    }
    let is_json = content_type.is_none_or(is_json);
    let data = match parse_document(body, limits) {
        _ if body.is_empty() => Document::empty_object(),
        Ok(document) if is_json => data_of(document.root()),
        Err(e) if is_json => {
            fields.reader.error("/data", format!("the body is no JSON: {e}"));
            Document::empty_object()
        }
        _ => {
            let text = std::str::from_utf8(body).map(Cow::Borrowed);
            let text = text.unwrap_or_else(|_| Cow::Owned(BASE64_STANDARD.encode(body)));
            let mut out = Builder::new();
            out.object().key("value").string(&text).end();
            out.finish()
        }
    };
    fields.finish(data)
}

fn is_json(content_type: &str) -> bool {
    MediaType::parse(content_type).is_some_and(|media_type| media_type.is_json())
}

/// The text of a header: without the quotes of a quoted string, percent-decoded, and UTF-8.
fn header_text(value: &[u8]) -> Option<String> {
    let mut unquoted = Vec::with_capacity(value.len());
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    let mut bytes = inner.unwrap_or(value).iter().copied();
    while let Some(byte) = bytes.next() {
        let is_escape = inner.is_some() && byte == b'\\';
        unquoted.extend(if is_escape { bytes.next() } else { Some(byte) });
    }
    let decoded = percent_encoding::percent_decode(&unquoted).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// An object as it is, anything else under `value`; null is no data.
fn data_of(data: Value<'_>) -> Document {
    match data.kind() {
        Kind::Object => data.to_document(),
        Kind::Null => Document::empty_object(),
        _ => {
            let mut out = Builder::new();
            out.object().key("value").copy(data).end();
            out.finish()
        }
    }
}

/// A type of ours for one that is none: each run of other characters becomes `_`, and so does an empty segment.
fn type_of_ours(text: &str) -> Option<EventType> {
    const LENGTH_MAX: usize = 128;
    let mut ours = String::with_capacity(text.len());
    for (number, segment) in text.split('.').enumerate() {
        if number > 0 {
            ours.push('.');
        }
        let (start, mut replaced) = (ours.len(), false);
        for c in segment.chars() {
            let is_ours = c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if is_ours {
                ours.push(c);
            } else if !replaced {
                ours.push('_');
            }
            replaced = !is_ours;
        }
        if ours.len() == start {
            ours.push('_');
        }
    }
    ours.truncate(LENGTH_MAX);
    let end = ours.trim_end_matches('.').len();
    ours.truncate(end);
    ours.parse().ok()
}

#[derive(Default)]
struct Fields {
    reader: Reader,
    specversion: Option<bool>,
    has_id: bool,
    id: Option<EventId>,
    event_type: Option<EventType>,
    timestamp: Option<Millis>,
    attributes: Attributes,
}

impl Fields {
    fn attribute(&mut self, name: &str, value: Value<'_>, limits: &IntakeConfig) {
        let pointer = format!("/{}", pointer_token(name));
        match name {
            "specversion" => {
                let is_known = value.str_eq("1.0");
                self.specversion = Some(is_known);
                if !is_known {
                    self.reader.error(&pointer, "is \"1.0\"; other versions are not taken");
                }
            }
            "id" => {
                self.has_id = true;
                self.id = self.reader.parsed(&pointer, value, str::parse);
            }
            "type" => self.event_type(&pointer, value, limits),
            "time" => self.timestamp = self.reader.parsed(&pointer, value, Millis::parse),
            "datacontenttype" if value.as_str().is_some_and(|text| is_json(&text)) => {}
            _ => match value.kind() {
                Kind::Null => {}
                Kind::Array | Kind::Object => {
                    self.reader.error(&pointer, "an extension is a string, number or boolean");
                }
                _ => {
                    let text = value.as_str().map_or_else(|| value.raw().to_owned(), Into::into);
                    self.reader.attribute(&mut self.attributes, name.to_owned(), text, limits);
                }
            },
        }
    }

    /// A type that is none of ours is also kept as it came.
    fn event_type(&mut self, pointer: &str, value: Value<'_>, limits: &IntakeConfig) {
        let text = value.as_str().filter(|text| !text.is_empty());
        let Some(text) = text else {
            return self.reader.error(pointer, "is a text that is not empty");
        };
        self.event_type = text.parse().ok();
        if self.event_type.is_none() {
            self.event_type = type_of_ours(&text);
            let name = TYPE_AS_IT_CAME.to_owned();
            self.reader.attribute(&mut self.attributes, name, text.into_owned(), limits);
        }
    }

    fn finish(mut self, data: Document) -> Result<Draft, Invalid> {
        if self.specversion.is_none() {
            self.reader
                .error("/specversion", "is missing; a CloudEvent has \"specversion\": \"1.0\"");
        }
        if !self.has_id {
            self.reader.error("/id", "is missing; a CloudEvent has an id");
        }
        if !self.attributes.iter().any(|(name, _)| name == "source") {
            self.reader.error("/source", "is missing; a CloudEvent has a source");
        }
        self.reader.finish(self.id, self.event_type, self.timestamp, self.attributes, Some(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_and_extensions() {
        let document: Document = r#"{"specversion": "1.0", "id": "A1", "source": "/crm", "subject": "c-1",
            "type": "contact.created", "time": "2026-03-10T12:00:00Z", "tries": 3, "data": {"b": 1, "a": 2.50}}"#
            .parse().unwrap();
        let draft = structured(document.root(), &IntakeConfig::default()).unwrap();
        let attributes: Vec<_> = draft.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(attributes, ["source=/crm", "subject=c-1", "tries=3"]);
        assert_eq!(draft.data.text(), r#"{"b":1,"a":2.50}"#);
    }

    fn read(text: &str) -> Result<Draft, Invalid> {
        structured(text.parse::<Document>().unwrap().root(), &IntakeConfig::default())
    }

    fn read_binary(headers: &[(&str, &[u8])], body: &[u8]) -> Result<Draft, Invalid> {
        let own: [(&str, &[u8]); 4] =
            [("ce-specversion", b"1.0"), ("ce-id", b"A1"), ("ce-source", b"/s"), ("ce-type", b"a")];
        let all = own.iter().chain(headers).copied();
        binary(all, body, &IntakeConfig::default())
    }

    #[test]
    fn binary_mode() {
        let draft = read_binary(&[("ce-source", b"/%E2%82%AC"), ("host", b"x")], b"{\"x\": 1}");
        assert_eq!(draft.unwrap().attributes, [("source".to_owned(), "/€".to_owned())]);
    }

    #[test]
    fn data_that_is_no_object_stands_under_value() {
        for (member, data) in [
            (r#""data": [1, 2.50]"#, r#"{"value":[1,2.50]}"#),
            (r#""data": "text""#, r#"{"value":"text"}"#),
            (r#""data": 7"#, r#"{"value":7}"#),
            (r#""data": false"#, r#"{"value":false}"#),
            (r#""data": null"#, "{}"),
            (r#""data_base64": "AQID""#, r#"{"value":"AQID"}"#),
            (r#""datacontenttype": "text/xml", "data": "<a/>""#, r#"{"value":"<a/>"}"#),
            (r#""datacontenttype": "Application/JSON", "data": {"a": 1}"#, r#"{"a":1}"#),
            (r#""x": 1"#, "{}"),
        ] {
            let text = format!(
                r#"{{"specversion": "1.0", "id": "1", "source": "s", "type": "a", {member}}}"#
            );
            assert_eq!(read(&text).unwrap().data.text(), data, "{member}");
        }
        for (content_type, body, data) in [
            ("application/json", "[1]", r#"{"value":[1]}"#),
            ("text/plain", "[1]", r#"{"value":"[1]"}"#),
            ("application/vnd.a+JSON", "{\"a\": 1}", r#"{"a":1}"#),
            ("application/json", "", "{}"),
        ] {
            let draft = read_binary(&[("content-type", content_type.as_bytes())], body.as_bytes());
            assert_eq!(draft.unwrap().data.text(), data, "{content_type}");
        }
        let bytes = read_binary(&[("content-type", b"image/png")], &[0xff, 0, 1]).unwrap();
        assert_eq!(bytes.data.text(), r#"{"value":"/wAB"}"#);
    }

    #[test]
    fn types_of_others_become_types_of_ours() {
        for (text, ours) in [
            ("com.example/order.paid", "com.example_order.paid"),
            ("com.github.pull_request.opened", "com.github.pull_request.opened"),
            ("urn:order:paid v2", "urn_order_paid_v2"),
            ("a//b", "a_b"),
            ("a..b.", "a._.b._"),
            ("Bestellung.größe", "Bestellung.gr_e"),
            ("/", "_"),
        ] {
            let event =
                format!(r#"{{"specversion": "1.0", "id": "1", "source": "s", "type": "{text}"}}"#);
            let draft = read(&event).unwrap();
            assert_eq!(draft.event_type.as_str(), ours, "{text}");
            let kept = draft.attributes.iter().find(|(name, _)| name == TYPE_AS_IT_CAME);
            assert_eq!(kept.map(|(_, value)| value.as_str()), (text != ours).then_some(text));
        }
        let long = format!("{}/{}", "a".repeat(127), "b".repeat(99));
        assert_eq!(type_of_ours(&long).unwrap().as_str().len(), 128);
    }

    #[test]
    fn each_cause_is_listed_once() {
        let long = "x".repeat(257);
        let text = format!(r#"{{"specversion": "2", "id": "{long}", "type": "", "time": "now"}}"#);
        let pointers: Vec<_> =
            read(&text).unwrap_err().errors.into_iter().map(|error| error.pointer).collect();
        assert_eq!(pointers, ["/specversion", "/id", "/type", "/time", "/source"]);
    }

    #[test]
    fn headers_are_unquoted_and_percent_decoded() {
        for (value, subject) in [
            (&b"caf%C3%A9"[..], "café"),
            (b"\"Euro \\\" %E2%82%AC\"", "Euro \" €"),
            ("ü".as_bytes(), "ü"),
            (b"100%", "100%"),
        ] {
            let draft = read_binary(&[("ce-subject", value)], b"").unwrap();
            assert_eq!(draft.attributes[1], ("subject".to_owned(), subject.to_owned()));
        }
        for value in [&b"caf%E9"[..], b"caf\xe9", b"%ff%fe"] {
            let error = read_binary(&[("ce-subject", value)], b"").unwrap_err();
            assert_eq!(error.code, "bad_parameter");
            assert_eq!(error.errors[0].pointer, "/ce-subject");
        }
    }

    #[test]
    fn ids_are_any_text() {
        for id in ["a/b", "50%", "a.b=c", "größe", "a b", &"x".repeat(256)] {
            let event =
                format!(r#"{{"specversion": "1.0", "id": "{id}", "source": "s", "type": "a"}}"#);
            assert_eq!(read(&event).unwrap().id.unwrap().as_str(), id);
        }
    }
}
