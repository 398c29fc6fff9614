//! Parses and validates posted events. One pass over the text; the data stays as posted.

use antar_json::{Document, Kind, ParseError, Value};

use crate::config::IntakeConfig;
use crate::model::{
    Attributes, Event, EventId, EventKey, EventType, FieldError, Hops, Invalid, Millis, TenantId,
    pointer_token,
};

/// A posted event: validated, but without defaults for id and timestamp.
#[derive(Clone, Debug)]
pub struct Draft {
    pub id: Option<EventId>,
    pub event_type: EventType,
    pub timestamp: Option<Millis>,
    pub attributes: Attributes,
    /// An object.
    pub data: Document,
    /// As the request says that brought it.
    pub hops: Hops,
}

impl Draft {
    /// The event, with defaults for omitted fields.
    #[must_use]
    pub fn event(self, tenant: TenantId, now: Millis) -> Event {
        let source = self.attributes.iter().find(|(name, _)| name == "source");
        let key = EventKey {
            tenant,
            source: source.map(|(_, source)| source.clone()).unwrap_or_default(),
            id: self.id.unwrap_or_else(|| EventId::new(now)),
        };
        let timestamp = self.timestamp.unwrap_or(now);
        let event = Event::new(key, self.event_type, timestamp, self.attributes, self.data.root());
        Event { hops: self.hops, ..event }
    }
}

/// The content of a post.
pub enum Batch {
    One(Result<Draft, Invalid>),
    /// In posted order; each is validated independently.
    Many(Vec<Result<Draft, Invalid>>),
}

/// Why a request is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("the body is no JSON: {0}")]
    NoJson(#[from] ParseError),
    #[error("post one event (a JSON object) or an array of events")]
    NoEvents,
    #[error("{count} events in one request; {max} are allowed (intake.events_max)")]
    TooMany { count: usize, max: usize },
}

/// Parses one event or an array of events; `read` reads each of them.
pub fn parse(
    body: &[u8],
    limits: &IntakeConfig,
    read: impl Fn(Value<'_>, &IntakeConfig) -> Result<Draft, Invalid>,
) -> Result<Batch, Refused> {
    let document = parse_document(body, limits)?;
    let root = document.root();
    match root.kind() {
        Kind::Object => Ok(Batch::One(read(root, limits))),
        Kind::Array => {
            let count = root.elements().count();
            if count > limits.events_max {
                return Err(Refused::TooMany { count, max: limits.events_max });
            }
            if count == 0 {
                return Err(Refused::NoEvents);
            }
            Ok(Batch::Many(root.elements().map(|event| read(event, limits)).collect()))
        }
        _ => Err(Refused::NoEvents),
    }
}

/// Parses JSON within the intake limits.
pub fn parse_document(body: &[u8], limits: &IntakeConfig) -> Result<Document, ParseError> {
    let limits =
        antar_json::Limits { bytes_max: limits.body_bytes_max, depth_max: limits.depth_max };
    Document::parse(body, limits)
}

/// Reads an event in Antar's own format.
pub fn draft(event: Value<'_>, limits: &IntakeConfig) -> Result<Draft, Invalid> {
    if event.kind() != Kind::Object {
        return Err(Invalid::at("", "an event is a JSON object with `type` and `data`"));
    }
    let mut reader = Reader::default();
    let (mut id, mut event_type, mut timestamp) = (None, None, None);
    let (mut attributes, mut data) = (Attributes::new(), None);
    for (key, value) in event.members() {
        match key.as_str().as_deref() {
            Some("id") => id = reader.parsed("/id", value, |text| text.parse::<EventId>()),
            Some("type") => {
                event_type = reader.parsed("/type", value, |text| text.parse::<EventType>());
            }
            Some("timestamp") => timestamp = reader.parsed("/timestamp", value, Millis::parse),
            Some("attributes") => attributes = reader.attributes(value, limits),
            Some("data") => data = reader.data(value),
            Some(other) => reader.error(
                &format!("/{}", pointer_token(other)),
                "an event has `id`, `type`, `timestamp`, `attributes` and `data`; put this into \
                 `data` or `attributes`",
            ),
            None => {}
        }
    }
    reader.finish(id, event_type, timestamp, attributes, data)
}

/// Errors of one event that are reported: a body may have millions, and the answer is not longer than the body.
const ERRORS_MAX: usize = 20;

/// Longest reported pointer and detail: they quote the body.
const POINTER_BYTES_MAX: usize = 200;
const DETAIL_BYTES_MAX: usize = 1_000;

/// Collects the errors of an event, so that one response reports them all.
#[derive(Default)]
pub(super) struct Reader {
    errors: Vec<FieldError>,
}

impl Reader {
    pub(super) fn error(&mut self, pointer: &str, detail: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            let pointer = &pointer[..pointer.floor_char_boundary(POINTER_BYTES_MAX)];
            let mut detail = detail.into();
            detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
            self.errors.push(FieldError::new(pointer, detail));
        }
    }

    /// Reads a string member with `parse`.
    pub(super) fn parsed<T>(
        &mut self,
        pointer: &str,
        value: Value<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Some(text) = value.as_str() else {
            self.error(pointer, "is a string");
            return None;
        };
        match parse(&text) {
            Ok(parsed) => Some(parsed),
            Err(detail) => {
                self.error(pointer, detail);
                None
            }
        }
    }

    pub(super) fn data(&mut self, value: Value<'_>) -> Option<Document> {
        if value.kind() == Kind::Object {
            return Some(value.to_document());
        }
        self.error("/data", "is a JSON object");
        None
    }

    fn attributes(&mut self, value: Value<'_>, limits: &IntakeConfig) -> Attributes {
        let mut attributes = Attributes::new();
        if value.kind() != Kind::Object {
            self.error("/attributes", "is an object of short strings");
        }
        for (key, value) in value.members() {
            let name = key.as_str().unwrap_or_default().into_owned();
            match value.as_str() {
                Some(text) => self.attribute(&mut attributes, name, text.into_owned(), limits),
                None => self.error(&format!("/attributes/{}", pointer_token(&name)), "is a string"),
            }
        }
        attributes
    }

    /// Adds one attribute, within the limits. A repeated name replaces the earlier value.
    pub(super) fn attribute(
        &mut self,
        attributes: &mut Attributes,
        name: String,
        value: String,
        limits: &IntakeConfig,
    ) {
        let known = attributes.iter().position(|(known, _)| *known == name);
        let (bytes_max, max) = (limits.attribute_bytes_max, limits.attributes_max);
        let wrong = if name.is_empty() || name.len() > 64 {
            Some("the name of an attribute has 1 to 64 bytes".to_owned())
        } else if value.len() > bytes_max {
            Some(format!("is longer than {bytes_max} bytes (intake.attribute_bytes_max)"))
        } else if name.contains('\0') || value.contains('\0') {
            Some("has the character U+0000, which can't be stored".to_owned())
        } else if known.is_none() && attributes.len() >= max {
            Some(format!("more than {max} attributes (intake.attributes_max)"))
        } else {
            None
        };
        match (wrong, known) {
            (Some(wrong), _) => {
                self.error(&format!("/attributes/{}", pointer_token(&name)), wrong);
            }
            (None, Some(known)) => attributes[known].1 = value,
            (None, None) => attributes.push((name, value)),
        }
    }

    pub(super) fn finish(
        mut self,
        id: Option<EventId>,
        event_type: Option<EventType>,
        timestamp: Option<Millis>,
        attributes: Attributes,
        data: Option<Document>,
    ) -> Result<Draft, Invalid> {
        let reported =
            |pointer: &str, errors: &[FieldError]| errors.iter().any(|e| e.pointer == pointer);
        if event_type.is_none() && !reported("/type", &self.errors) {
            self.error("/type", "is missing; give the event a type such as `conversation.created`");
        }
        if event_type.as_ref().is_some_and(EventType::is_own) {
            self.error("/type", "begins with `antar.`, which is for Antar's own events");
        }
        if data.is_none() && !reported("/data", &self.errors) {
            self.error("/data", "is missing; it is a JSON object");
        }
        match (event_type, data) {
            (Some(event_type), Some(data)) if self.errors.is_empty() => {
                let hops = Hops::default();
                Ok(Draft { id, event_type, timestamp, attributes, data, hops })
            }
            _ => Err(Invalid { code: "event_invalid", errors: self.errors }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Draft, Invalid> {
        let document: Document = text.parse().unwrap();
        draft(document.root(), &IntakeConfig::default())
    }

    #[test]
    fn data_stays_as_posted() {
        let draft =
            read(r#"{"type": "a.b", "data": {"z": 1.0, "a": "\u00e9", "n": 8202522731445525542}}"#)
                .unwrap();
        assert_eq!(draft.data.text(), r#"{"z":1.0,"a":"\u00e9","n":8202522731445525542}"#);
        assert_eq!(draft.event_type.as_str(), "a.b");
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        let error = read(r#"{"type": "a b", "id": "", "timestamp": "now", "data": [], "foo/bar": 1, "attributes": {"n": 1}}"#).unwrap_err();
        let pointers: Vec<_> = error.errors.iter().map(|e| e.pointer.as_str()).collect();
        assert_eq!(pointers, ["/type", "/id", "/timestamp", "/data", "/foo~1bar", "/attributes/n"]);
    }

    #[test]
    fn what_is_missing_is_said() {
        let error = read("{}").unwrap_err();
        let pointers: Vec<_> = error.errors.iter().map(|e| e.pointer.as_str()).collect();
        assert_eq!(pointers, ["/type", "/data"]);
    }

    #[test]
    fn too_many_events_are_refused_whole() {
        let limits = IntakeConfig { events_max: 2, ..IntakeConfig::default() };
        assert!(matches!(
            parse(b"[{},{},{}]", &limits, draft),
            Err(Refused::TooMany { count: 3, max: 2 })
        ));
        assert!(matches!(parse(b"[]", &limits, draft), Err(Refused::NoEvents)));
        assert!(matches!(parse(b"7", &limits, draft), Err(Refused::NoEvents)));
    }
}
