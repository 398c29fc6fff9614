//! Names and ids, each validated once, when it is created.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Defines a validated string type: the check, and the error sentence for text that fails it.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<$name, String> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok($name(text.into())) } else { Err(format!("`{text}`: {}", $rule)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<$name, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn all_of(text: &str, len_max: usize, extra: &str) -> bool {
    (1..=len_max).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

fn dotted(text: &str) -> bool {
    text.len() <= 128 && text.split('.').all(|segment| all_of(segment, 128, "_-"))
}

text_id!(
    /// Whoever owns webhooks; the host's own string.
    TenantId, |t| all_of(t, 128, "._:@-") && t != "." && t != "..",
    "a tenant id has 1 to 128 of A-Z a-z 0-9 . _ : @ -"
);
text_id!(
    /// An event's id, unique in its tenant and source while the event is kept.
    EventId, |t| (1..=256).contains(&t.len()) && !t.chars().any(char::is_control),
    "an event id has 1 to 256 bytes, and no control character"
);
text_id!(
    /// Dotted segments such as `conversation.created`.
    EventType, dotted,
    "an event type has segments of A-Z a-z 0-9 _ - joined by dots, 128 characters at most"
);
text_id!(
    /// `*`, a type, or `a.*` for one or more further segments.
    TypeFilter, |t| t == "*" || dotted(t.strip_suffix(".*").unwrap_or(t)),
    "an entry of event_types is `*`, an event type, or an event type followed by `.*`"
);
text_id!(
    /// The name of a tenant's secret, as in `{{antar.secret.NAME}}`.
    SecretName, |t| all_of(t, 64, "_-"),
    "the name of a secret has 1 to 64 of A-Z a-z 0-9 _ -"
);
text_id!(
    /// A plugin's name without version.
    PluginName, |t| all_of(t, 64, "_-"),
    "the name of a plugin has 1 to 64 of A-Z a-z 0-9 _ -"
);

/// Prefix of the types of Antar's own events.
pub const OWN_TYPES: &str = "antar.";

impl TypeFilter {
    /// Whether `event_type` matches. `a.*` requires at least one further segment.
    #[must_use]
    pub fn accepts(&self, event_type: &str) -> bool {
        match self.as_str().strip_suffix('*') {
            // Antar's own types match only if the filter names them.
            Some("") => !event_type.starts_with(OWN_TYPES),
            Some(prefix) => event_type.len() > prefix.len() && event_type.starts_with(prefix),
            None => self.as_str() == event_type,
        }
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = Uuid)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new UUIDv7 whose time part is `now`.
            #[must_use]
            pub fn new(now: super::Millis) -> $name {
                $name(uuid_v7(now))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<$name, String> {
                text.parse().map($name).map_err(|_| format!("`{text}` is no UUID"))
            }
        }
    };
}

uuid_id!(
    /// One outgoing subscription.
    WebhookId
);
uuid_id!(
    /// One event on its way to one webhook.
    DeliveryId
);
uuid_id!(
    /// One incoming URL.
    SourceId
);
uuid_id!(
    /// One sending again of old events.
    ReplayId
);

uuid_id!(
    /// A refused call, or refused events.
    RejectionId
);

/// A UUIDv7 whose time part is `now`, so that ids sort by time on any clock.
#[must_use]
pub fn uuid_v7(now: super::Millis) -> Uuid {
    let ms = u64::try_from(now.0).unwrap_or_default();
    let nanos = u32::try_from(ms % 1000).unwrap_or_default() * 1_000_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, ms / 1000, nanos))
}

impl EventType {
    /// Whether this is one of Antar's own types: callers can't post such events, and `*` does not match them.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.as_str().starts_with(OWN_TYPES)
    }
}

impl EventId {
    /// Generates the id of an event that was posted without one.
    #[must_use]
    pub fn new(now: super::Millis) -> EventId {
        let mut text = Uuid::encode_buffer();
        EventId((*uuid_v7(now).hyphenated().encode_lower(&mut text)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_filters() {
        let accepts =
            |filter: &str, event_type| filter.parse::<TypeFilter>().unwrap().accepts(event_type);
        assert!(accepts("*", "a"));
        assert!(
            !accepts("*", "antar.webhook.failing") && accepts("antar.*", "antar.webhook.failing")
        );
        assert!(accepts("a.*", "a.b.c"));
        assert!(!accepts("a.*", "a"));
        assert!(!accepts("a.*", "ab.c"));
        assert!(accepts("a.b", "a.b"));
        for bad in ["", "a.", "*.a", "a*", "a..b", "a b"] {
            assert!(bad.parse::<TypeFilter>().is_err(), "{bad}");
        }
    }
}
