//! CloudEvents 1.0 over HTTP: structured, batched and binary. `source`, `subject` and extensions
//! become attributes; the data must be a JSON object, as everywhere. Uses Antar's own JSON documents
//! instead of a library, because libraries pass numbers and keys through `f64` and sorted maps.

use antar_json::{Document, Kind, Value};

use super::intake::{Draft, Reader, parse_document, pointer_token};
use crate::config::IntakeConfig;
use crate::model::{Attributes, EventId, EventType, Invalid, Millis};

/// Reads an event in JSON format (CloudEvents JSON Event Format §3).
pub fn structured(event: Value<'_>, limits: &IntakeConfig) -> Result<Draft, Invalid> {
    if event.kind() != Kind::Object {
        return Err(Invalid::at("", "a CloudEvent is a JSON object"));
    }
    let mut fields = Fields::default();
    let mut data = None;
    for (key, value) in event.members() {
        let name = key.as_str().unwrap_or_default();
        match name.as_ref() {
            "data" => data = fields.reader.data(value),
            "data_base64" => {
                fields.reader.error("/data_base64", "data must be a JSON object in `data`")
            }
            _ => fields.attribute(&name, value, limits),
        }
    }
    fields.finish(data)
}

/// Reads an event in binary mode (HTTP Protocol Binding §3.1): `ce-` headers and the data as body.
pub fn binary<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: &[u8],
    limits: &IntakeConfig,
) -> Result<Draft, Invalid> {
    let mut fields = Fields::default();
    for (name, value) in headers {
        if let Some(name) = name.strip_prefix("ce-") {
            let decoded = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            let document = Document::from(&serde_json::Value::from(decoded.as_ref()));
            fields.attribute(name, document.root(), limits);
        }
    }
    let data = match parse_document(body, limits) {
        Ok(document) => fields.reader.data(document.root()),
        Err(e) => {
            fields.reader.error("/data", format!("the body is no JSON: {e}"));
            None
        }
    };
    fields.finish(data)
}

#[derive(Default)]
struct Fields {
    reader: Reader,
    specversion: bool,
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
                self.specversion = value.str_eq("1.0");
                if !self.specversion {
                    self.reader.error(&pointer, "is \"1.0\"; other versions are not taken");
                }
            }
            "id" => self.id = self.reader.parsed(&pointer, value, str::parse),
            "type" => self.event_type = self.reader.parsed(&pointer, value, str::parse),
            "time" => self.timestamp = self.reader.parsed(&pointer, value, Millis::parse),
            "datacontenttype" => {
                let json = value.as_str().is_some_and(|t| t.contains("json"));
                if !json {
                    self.reader.error(&pointer, "data must be JSON");
                }
            }
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

    fn finish(mut self, data: Option<Document>) -> Result<Draft, Invalid> {
        if !self.specversion {
            self.reader
                .error("/specversion", "is missing; a CloudEvent has \"specversion\": \"1.0\"");
        }
        if self.id.is_none() {
            self.reader.error("/id", "a CloudEvent has an id of 1 to 128 of A-Z a-z 0-9 _ : -");
        }
        if !self.attributes.iter().any(|(name, _)| name == "source") {
            self.reader.error("/source", "a CloudEvent has a source");
        }
        self.reader.finish(self.id, self.event_type, self.timestamp, self.attributes, data)
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

    #[test]
    fn binary_mode() {
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", "A1"),
            ("ce-source", "/%E2%82%AC"),
            ("ce-type", "a"),
            ("host", "x"),
        ];
        let draft = binary(headers.into_iter(), b"{\"x\": 1}", &IntakeConfig::default()).unwrap();
        assert_eq!(draft.attributes, [("source".to_owned(), "/€".to_owned())]);
        assert!(binary([("ce-id", "x")].into_iter(), b"[]", &IntakeConfig::default()).is_err());
    }
}
