//! Retry policies: which answers are retried, when, and how often.

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which answers are retried.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Statuses {
    /// Every answer without success, except 410.
    #[default]
    Default,
    /// 408, 425, 429, 5xx and network errors.
    Transient,
    /// Only these.
    Only(Vec<StatusFilter>),
}

/// One status, or all statuses of a class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusFilter {
    Code(u16),
    /// 5 stands for `5xx`.
    Class(u16),
}

impl Statuses {
    /// Whether an unsuccessful answer with this status is retried.
    #[must_use]
    pub fn retries(&self, status: u16) -> bool {
        match self {
            Statuses::Default => true,
            Statuses::Transient => matches!(status, 408 | 425 | 429 | 500..=599),
            Statuses::Only(filters) => filters.iter().any(|filter| match filter {
                StatusFilter::Code(code) => *code == status,
                StatusFilter::Class(class) => *class == status / 100,
            }),
        }
    }
}

const STATUSES: &str = "`default`, `transient`, or a list such as [408, 429, \"5xx\"]";
const STATUS: &str = "a status from 200 to 599, or a class such as \"5xx\"";
const GONE: &str = "410 can't be tried again: it ends the delivery and disables the webhook";

impl StatusFilter {
    fn code(code: u64) -> Result<StatusFilter, String> {
        match u16::try_from(code) {
            Ok(410) => Err(GONE.to_owned()),
            Ok(code @ 200..=599) => Ok(StatusFilter::Code(code)),
            _ => Err(format!("{code} is not {STATUS}")),
        }
    }

    fn text(text: &str) -> Result<StatusFilter, String> {
        let class = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"));
        let class = class.and_then(|digit| digit.parse().ok());
        match (class, text.parse()) {
            (Some(class @ 2..=5), _) => Ok(StatusFilter::Class(class)),
            (None, Ok(code)) => StatusFilter::code(code),
            _ => Err(format!("`{text}` is not {STATUS}")),
        }
    }
}

impl Serialize for StatusFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            StatusFilter::Code(code) => serializer.serialize_u16(*code),
            StatusFilter::Class(class) => serializer.collect_str(&format_args!("{class}xx")),
        }
    }
}

impl Serialize for Statuses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Statuses::Default => serializer.serialize_str("default"),
            Statuses::Transient => serializer.serialize_str("transient"),
            Statuses::Only(filters) => filters.serialize(serializer),
        }
    }
}

struct OneStatus;

impl Visitor<'_> for OneStatus {
    type Value = StatusFilter;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(STATUS)
    }

    fn visit_u64<E: Error>(self, code: u64) -> Result<StatusFilter, E> {
        StatusFilter::code(code).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, code: i64) -> Result<StatusFilter, E> {
        StatusFilter::code(u64::try_from(code).unwrap_or_default()).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<StatusFilter, E> {
        StatusFilter::text(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for StatusFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StatusFilter, D::Error> {
        deserializer.deserialize_any(OneStatus)
    }
}

struct AllStatuses;

impl<'de> Visitor<'de> for AllStatuses {
    type Value = Statuses;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(STATUSES)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Statuses, E> {
        match text {
            "default" => Ok(Statuses::Default),
            "transient" => Ok(Statuses::Transient),
            _ => Err(E::custom(format!("`{text}` is not {STATUSES}"))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Statuses, A::Error> {
        let mut filters = Vec::new();
        while let Some(filter) = list.next_element()? {
            filters.push(filter);
        }
        Ok(Statuses::Only(filters))
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Statuses, D::Error> {
        deserializer.deserialize_any(AllStatuses)
    }
}

impl utoipa::PartialSchema for Statuses {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Type};
        let word = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["default", "transient"]));
        let code = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(200))
            .maximum(Some(599))
            .description(Some("A status; never 410."));
        let class = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[2-5]xx$"));
        let either = OneOfBuilder::new().item(code).item(class);
        let list = ArrayBuilder::new().items(either);
        OneOfBuilder::new()
            .item(word)
            .item(list)
            .description(Some(
                "Which answers that were no success are tried again: all (`default`), 408, 425, \
                 429 and 5xx (`transient`), or those listed.",
            ))
            .into()
    }
}

impl utoipa::ToSchema for Statuses {}

/// What a webhook or profile says about retries; what it leaves out comes from below.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrySpec {
    /// Waits in seconds between attempts. Where it is shorter than `attempts_max` needs, its last
    /// wait repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_s: Option<Vec<u32>>,
    /// Attempts in all, the first included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_max: Option<u32>,
    /// Share of a wait that is drawn at random on top or off, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statuses: Option<Statuses>,
    /// Whether it is tried again when no answer came: no connection, time-out, a connection that
    /// broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<bool>,
}

/// A complete retry policy.
#[derive(Clone, PartialEq, Debug)]
pub struct Retry {
    pub schedule_s: Vec<u32>,
    pub attempts_max: u32,
    pub jitter: f64,
    pub statuses: Statuses,
    pub network: bool,
}

impl RetrySpec {
    /// `self`, with missing values taken from `below`. A schedule without `attempts_max` means one more
    /// attempt than it has waits.
    #[must_use]
    pub fn over(&self, below: &Retry) -> Retry {
        let attempts_max = match (self.attempts_max, &self.schedule_s) {
            (Some(attempts_max), _) => attempts_max,
            (None, Some(schedule_s)) => u32::try_from(schedule_s.len()).unwrap_or(u32::MAX - 1) + 1,
            (None, None) => below.attempts_max,
        };
        Retry {
            schedule_s: self.schedule_s.clone().unwrap_or_else(|| below.schedule_s.clone()),
            attempts_max,
            jitter: self.jitter.unwrap_or(below.jitter),
            statuses: self.statuses.clone().unwrap_or_else(|| below.statuses.clone()),
            network: self.network.unwrap_or(below.network),
        }
    }

    /// The complete policy, if schedule, attempts and jitter are set.
    #[must_use]
    pub fn complete(&self) -> Option<Retry> {
        Some(Retry {
            schedule_s: self.schedule_s.clone()?,
            attempts_max: self.attempts_max?,
            jitter: self.jitter?,
            statuses: self.statuses.clone().unwrap_or_default(),
            network: self.network.unwrap_or(true),
        })
    }

    /// Validation errors, each as a path below `retry` and a sentence.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        const STATUSES_MAX: usize = 100;
        let mut errors = Vec::new();
        if self.attempts_max == Some(0) {
            errors.push(("/attempts_max", "counts the first attempt and is 1 or more".to_owned()));
        }
        if self.attempts_max.is_some_and(|n| n > 1000) {
            errors.push(("/attempts_max", "is 1000 at most".to_owned()));
        }
        if self.schedule_s.as_ref().is_some_and(|s| s.len() > 100) {
            errors.push(("/schedule_s", "has 100 waits at most".to_owned()));
        }
        if self.schedule_s.as_ref().is_some_and(Vec::is_empty) {
            let detail = "has at least one wait; for a single attempt, set attempts_max to 1";
            errors.push(("/schedule_s", detail.to_owned()));
        }
        if self.jitter.is_some_and(|j| !(0.0..=1.0).contains(&j)) {
            errors.push(("/jitter", "is a share from 0 to 1".to_owned()));
        }
        if matches!(&self.statuses, Some(Statuses::Only(list)) if list.len() > STATUSES_MAX) {
            errors.push(("/statuses", format!("has {STATUSES_MAX} entries at most")));
        }
        if matches!(&self.statuses, Some(Statuses::Only(list)) if list.is_empty()) {
            let detail =
                "names at least one status; where no answer is tried again, set attempts_max to 1";
            errors.push(("/statuses", detail.to_owned()));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Statuses, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn words_and_lists_say_which_statuses_are_tried_again() {
        let transient = read(r#""transient""#).unwrap();
        assert!(transient.retries(503) && transient.retries(429) && !transient.retries(404));
        assert!(read(r#""default""#).unwrap().retries(404));
        let listed = read(r#"[408, "429", "5XX"]"#).unwrap();
        let retried: Vec<u16> = [302, 404, 408, 429, 500, 599]
            .into_iter()
            .filter(|status| listed.retries(*status))
            .collect();
        assert_eq!(retried, [408, 429, 500, 599]);
        assert!(!read("[]").unwrap().retries(500));
    }

    #[test]
    fn they_are_written_as_they_are_read() {
        for text in [r#""default""#, r#""transient""#, r#"[408,"5xx"]"#, "[]"] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_status_is_named() {
        for (json, said) in [
            ("[410]", "410 can't be tried again"),
            (r#"["6xx"]"#, "`6xx` is not a status"),
            ("[99]", "99 is not a status"),
            (r#""sometimes""#, "`sometimes` is not `default`"),
            ("7", "expected `default`"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(said), "{json}: {error}");
        }
    }
}
