//! Plugin configs, and errors that name the place and the reason of a mistake.

use std::borrow::Cow;

use antar_json::{Document, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::{Json, Problem};

/// The settings of a plugin where it is used. `#[derive(Config)]` implements it for a type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no config",
    note = "write `#[derive(antar_sdk::Config)]` above it"
)]
pub trait Config: DeserializeOwned + JsonSchema + 'static {}

/// The config as written: for configs with arbitrary keys.
impl Config for Json {}

/// The config of a function that takes none. Any input is accepted and ignored.
#[derive(Debug)]
pub struct NoConfig;

impl Config for NoConfig {}

impl<'de> Deserialize<'de> for NoConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NoConfig, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| NoConfig)
    }
}

impl JsonSchema for NoConfig {
    fn schema_name() -> Cow<'static, str> {
        "NoConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        true.into()
    }
}

/// `config.any.2: invalid type: integer `7`, expected a string`
pub(crate) fn problem(whole: &str, text: &str, error: &serde_json::Error) -> Problem {
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let said = said.strip_suffix(&place).unwrap_or(&said);
    let path = path(text, error).map(|path| format!(".{path}")).unwrap_or_default();
    Problem::Retry(format!("{whole}{path}: {said}"))
}

/// The dotted path to the value at which serde stopped. Serde reports line and column of the last
/// byte that it read: the end of the value, or of the token before it.
fn path(text: &str, error: &serde_json::Error) -> Option<String> {
    // The document has no whitespace, so the position in the text is converted to one without.
    let document: Document = text.parse().ok()?;
    let ends = text.split_inclusive('\n').take(error.line().checked_sub(1)?);
    let read = ends.map(str::len).sum::<usize>() + error.column();
    let read = compact_offset(text, read);
    let compact = document.text();
    let at = match compact.as_bytes().get(read.checked_sub(1)?)? {
        b':' | b',' | b'[' => read,
        _ => read - 1,
    };
    let mut path = Vec::new();
    find(document.root(), compact.as_ptr() as usize + at, &mut path);
    (!path.is_empty()).then(|| path.join("."))
}

/// Number of the first `read` bytes without the whitespace between tokens.
fn compact_offset(text: &str, read: usize) -> usize {
    let (mut count, mut in_string, mut escaped) = (0, false, false);
    for byte in text.bytes().take(read) {
        if in_string || !byte.is_ascii_whitespace() {
            count += 1;
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
    count
}

/// Adds the path steps to the innermost value or key at an address.
fn find(value: Value<'_>, address: usize, path: &mut Vec<String>) {
    let holds = |value: Value<'_>| {
        let range = value.raw().as_bytes().as_ptr_range();
        (range.start as usize..range.end as usize).contains(&address)
    };
    for (key, member) in value.members() {
        if holds(key) || holds(member) {
            path.push(key.as_str().unwrap_or_default().into_owned());
            return find(member, address, path);
        }
    }
    if let Some((index, element)) = value.elements().enumerate().find(|(_, one)| holds(*one)) {
        path.push(index.to_string());
        find(element, address, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of everything a little.
    #[derive(antar_sdk::Config, Debug)]
    #[expect(dead_code, reason = "only reading it is tested")]
    struct Sample {
        /// Some names.
        any: Vec<String>,
        #[config(default = "here")]
        place: String,
        #[config(default = 7)]
        count: u32,
        #[config(default)]
        tags: Vec<String>,
        inner: Option<Inner>,
    }

    #[derive(antar_sdk::Config, Debug)]
    #[serde(rename_all = "lowercase")]
    enum Inner {
        Plain,
        Limit { at: u8 },
    }

    fn why(text: &str) -> String {
        match serde_json::from_str::<Sample>(text) {
            Err(e) => match problem("config", text, &e) {
                Problem::Retry(why) => why,
                Problem::Fail(why) => why,
            },
            Ok(sample) => panic!("{sample:?}"),
        }
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let sample: Sample = serde_json::from_str(r#"{"any": ["x"]}"#).unwrap();
        assert_eq!((sample.place.as_str(), sample.count, sample.tags.len()), ("here", 7, 0));
        let sample: Sample =
            serde_json::from_str(r#"{"any": [], "inner": {"limit": {"at": 3}}}"#).unwrap();
        assert!(matches!(sample.inner, Some(Inner::Limit { at: 3 })));
        assert!(matches!(serde_json::from_str(r#""plain""#), Ok(Inner::Plain)));
    }

    #[test]
    fn a_mistake_is_told_with_its_path() {
        let expected = "config.any.1: invalid type: integer `7`, expected a string";
        assert_eq!(why(r#"{"any":["x",7]}"#), expected);
        assert_eq!(why("{\n  \"place\": \"a \\\" b\",\n  \"any\": [ \"x\",\n 7 ]\n}"), expected);
        assert_eq!(why("{}"), "config: missing field `any`");
        assert_eq!(why("[]"), "config: invalid length 0, expected struct Sample with 5 elements");
        assert!(why(r#"{"any": "x"}"#).starts_with("config.any: invalid type: string \"x\""));
        assert!(why(r#"{"any": {}}"#).starts_with("config.any: invalid type: map"));
        assert!(why(r#"{"any": [[]]}"#).starts_with("config.any.0: invalid type: sequence"));
        assert!(why(r#"{"any": [], "count": -1}"#).starts_with("config.count: invalid value"));
        assert!(why(r#"{"any": [], "anny": 1}"#).starts_with("config.anny: unknown field"));
        let limit = r#"{"any": [], "inner": {"limit": {"at": 300}}}"#;
        assert!(why(limit).starts_with("config.inner.limit.at: invalid value"), "{}", why(limit));
    }

    #[test]
    fn the_schema_has_descriptions_and_defaults() {
        let schema = serde_json::to_value(schemars::schema_for!(Sample)).unwrap();
        assert_eq!(schema["title"], "Sample");
        assert_eq!(schema["description"], "Of everything a little.");
        assert_eq!(schema["properties"]["any"]["description"], "Some names.");
        assert_eq!(schema["properties"]["place"]["default"], "here");
        assert_eq!(schema["properties"]["count"]["default"], 7);
        assert_eq!(schema["required"], serde_json::json!(["any"]));
        assert_eq!(schema["additionalProperties"], false);
        assert!(schema["$defs"]["Inner"].is_object(), "{schema}");
    }
}
