//! Events and their identity.

mod hops;

use antar_json::{Builder, Document, Value};

pub use self::hops::{HOPS_HEADER, Hops, ROOT_HEADER, Root, is_hops_header};
use super::{EventId, EventType, Millis, TenantId, WebhookId};

/// Short strings beside the data, in posted order.
pub type Attributes = Vec<(String, String)>;

/// Identity of an event: its id, unique within its tenant and `attributes.source`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EventKey {
    pub tenant: TenantId,
    /// `attributes.source`; empty if there is none.
    pub source: String,
    pub id: EventId,
}

impl EventKey {
    /// The root of the events that come of this one.
    #[must_use]
    pub fn root(&self) -> Root {
        Root::of([self.tenant.as_str(), &self.source, self.id.as_str()])
    }
}

/// An accepted event. `document` holds all of its parts; rules are matched against it.
#[derive(Clone, Debug)]
pub struct Event {
    pub key: EventKey,
    pub event_type: EventType,
    pub timestamp: Millis,
    pub attributes: Attributes,
    /// `{"id", "type", "timestamp", "tenant", "attributes": {…}, "data": {…}}`
    pub document: Document,
    /// False when the data does not match the type's schema.
    pub schema_ok: bool,
    pub hops: Hops,
    /// Deliveries that the request made which brought it, this event's and others'.
    pub fanout: u32,
}

impl Event {
    /// `data` must be an object; intake checks that.
    #[must_use]
    pub fn new(
        key: EventKey,
        event_type: EventType,
        timestamp: Millis,
        attributes: Attributes,
        data: Value<'_>,
    ) -> Event {
        let document = document_of(&key, &event_type, timestamp, &attributes, data);
        Event {
            key,
            event_type,
            timestamp,
            attributes,
            document,
            schema_ok: true,
            hops: Hops::default(),
            fanout: 0,
        }
    }

    /// The posted data.
    #[must_use]
    pub fn data(&self) -> Value<'_> {
        self.document.root().get("data").unwrap_or(self.document.root())
    }

    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// `attributes.subject`, such as a contact or a conversation.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.attribute("subject")
    }

    /// The webhook that one of Antar's own events is about.
    #[must_use]
    pub fn about_webhook(&self) -> Option<WebhookId> {
        if !self.event_type.is_own() {
            return None;
        }
        self.data().at("webhook.id")?.as_str()?.parse().ok()
    }
}

/// Builds the document that rules, facets and explanations read.
#[must_use]
pub fn document_of(
    key: &EventKey,
    event_type: &EventType,
    timestamp: Millis,
    attributes: &Attributes,
    data: Value<'_>,
) -> Document {
    let mut out = Builder::with_room_for(data);
    out.object().key("id").string(key.id.as_str()).key("type").string(event_type.as_str());
    out.key("timestamp").string(&timestamp.to_string()).key("tenant").string(key.tenant.as_str());
    out.key("attributes").object();
    for (name, value) in attributes {
        out.key(name).string(value);
    }
    out.end().key("data").copy(data).end();
    out.finish()
}
