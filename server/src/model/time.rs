//! Time as data: milliseconds since 1970, UTC.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since the Unix epoch. Written as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Millis(pub i64);

impl Millis {
    /// Parses RFC 3339 with any offset; digits finer than milliseconds are cut off.
    pub fn parse(text: &str) -> Result<Millis, String> {
        text.parse::<jiff::Timestamp>()
            .map(|t| Millis(t.as_millisecond()))
            .map_err(|_| format!("`{text}` is no RFC 3339 time such as 2026-03-10T12:00:00.000Z"))
    }

    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{time:.3}")
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
        let text = String::deserialize(deserializer)?;
        Millis::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Millis {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl utoipa::ToSchema for Millis {}

#[cfg(test)]
mod tests {
    use super::Millis;

    #[test]
    fn reads_offsets_and_writes_utc_with_milliseconds() {
        let time = Millis::parse("2026-03-10T19:00:00.1239+07:00").unwrap();
        assert_eq!(time.to_string(), "2026-03-10T12:00:00.123Z");
        assert_eq!(
            Millis::parse("2026-03-10T12:00:00Z").unwrap().to_string(),
            "2026-03-10T12:00:00.000Z"
        );
        assert!(Millis::parse("yesterday").is_err());
    }
}
