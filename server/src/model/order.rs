//! Ordering and deduplication: which deliveries of a webhook are sent in order, or only once.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Whether deliveries wait for those before them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Ordering {
    #[default]
    None,
    /// Deliveries with the same key are sent one after the other.
    PerKey(PerKey),
}

/// Deliveries in order.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PerKey {
    /// A template over the event as it was posted; left out: `attributes.subject`. An event
    /// without a key is not ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Failed attempts after which a delivery lets those behind it go first; left out: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gives_way_attempts: Option<u32>,
}

impl PerKey {
    /// Bounds of `gives_way_attempts`.
    pub const ATTEMPTS: std::ops::RangeInclusive<u32> = 1..=1_000;

    #[must_use]
    pub fn gives_way_attempts(&self) -> u32 {
        self.gives_way_attempts.unwrap_or(5)
    }
}

/// One delivery of those with the same key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Dedupe {
    /// A template over the event as it was posted. An event without a key is not compared.
    pub key: String,
    /// Within so many seconds a second event with the same key is dropped.
    pub window_s: u64,
}

const WORDS: &str = "`none`, `per_key`, or {key: TEMPLATE, gives_way_attempts: N}";

impl Serialize for Ordering {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let PerKey { key, gives_way_attempts } = match self {
            Ordering::None => return serializer.serialize_str("none"),
            Ordering::PerKey(per_key) if *per_key == PerKey::default() => {
                return serializer.serialize_str("per_key");
            }
            Ordering::PerKey(per_key) => per_key,
        };
        let mut map = serializer.serialize_map(None)?;
        if let Some(key) = key {
            map.serialize_entry("key", key)?;
        }
        if let Some(attempts) = gives_way_attempts {
            map.serialize_entry("gives_way_attempts", attempts)?;
        }
        map.end()
    }
}

struct AnyOrdering;

impl<'de> Visitor<'de> for AnyOrdering {
    type Value = Ordering;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(WORDS)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Ordering, E> {
        match text {
            "none" => Ok(Ordering::None),
            "per_key" => Ok(Ordering::PerKey(PerKey::default())),
            _ => Err(E::custom(format!("`{text}` is not {WORDS}"))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Ordering, A::Error> {
        PerKey::deserialize(MapAccessDeserializer::new(map)).map(Ordering::PerKey)
    }
}

impl<'de> Deserialize<'de> for Ordering {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ordering, D::Error> {
        deserializer.deserialize_any(AnyOrdering)
    }
}

impl utoipa::PartialSchema for Ordering {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
        let word =
            ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["none", "per_key"]));
        OneOfBuilder::new()
            .item(word)
            .item(<PerKey as utoipa::PartialSchema>::schema())
            .description(Some(
                "Whether deliveries with the same key are made one after the other; `per_key`: by \
                 `attributes.subject`.",
            ))
            .into()
    }
}

impl utoipa::ToSchema for Ordering {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_keys() {
        let read = |json: &str| serde_json::from_str::<Ordering>(json);
        for text in [
            r#""none""#,
            r#""per_key""#,
            r#"{"key":"{{data.id}}"}"#,
            r#"{"key":"{{data.id}}","gives_way_attempts":2}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
        assert_eq!(read("{}").unwrap(), Ordering::PerKey(PerKey::default()));
        let error = read(r#""always""#).unwrap_err().to_string();
        assert!(error.contains("`always` is not `none`, `per_key`"), "{error}");
        let error = read(r#"{"keys": "a"}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `keys`"), "{error}");
    }
}
