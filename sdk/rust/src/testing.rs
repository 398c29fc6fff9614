//! Unit tests of plugins, without WASM.
//!
//! Call a plugin's function directly, with [`event`]. [`check_filter`] and [`check_transform`] also
//! run it on *fixtures*: JSON files in a folder, read in the same way as inside Antar.
//!
//! ```json
//! {"event": {"data": {"conversation": {"labels": ["vip"]}}}, "config": {"any": ["vip"]}, "expect": "pass"}
//! ```
//!
//! `event` may also have `id`, `type`, `tenant`, `timestamp` and `attributes`. `config` is `{}` if
//! left out. `expect` is `"pass"` (a transform's: unchanged), `{"drop": "reason"}`,
//! `{"data": {…}}` (compared as text, with `event_type`, `attributes` and `headers` if it sets
//! any), `{"split": [{"data": {…}}]}`, `{"retry": "reason"}` or `{"fail": "reason"}`.
//!
//! ```no_run
//! # fn by_label(_: antar_sdk::Event) -> antar_sdk::Verdict { antar_sdk::Verdict::Pass }
//! antar_sdk::testing::check_filter("fixtures", by_label);
//! ```
//!
//! Cargo runs tests in the package's folder, so `"fixtures"` is the one beside its `Cargo.toml`.
//! `antar plugin test` runs the same files through the compiled plugin.

#![expect(clippy::panic, reason = "this is for tests, and a panic is how a test fails")]

use std::path::Path;

use crate::{
    Event, IntoOutcome, IntoVerdict, Outcome, Problem, Replacement, Verdict,
    guest::{self, Function},
};
use antar_json::{Builder, Document, Value};

/// An event with this data and plausible values in all other fields.
///
/// # Panics
/// If the text is not JSON.
#[must_use]
pub fn event(data: &str) -> Event {
    let data = data.parse().unwrap_or_else(|e| panic!("the event's data: {e}"));
    Event {
        id: "01997c5a-0000-7000-8000-000000000001".into(),
        event_type: "test.event".into(),
        tenant: "default".into(),
        timestamp: "2026-03-10T12:00:00.000Z".into(),
        attributes: Vec::new(),
        data,
    }
}

/// Runs a filter on each `.json` file of a folder.
///
/// # Panics
/// If an answer is not as expected (the message has both), or if the folder has no fixtures.
pub fn check_filter<A, F>(folder: impl AsRef<Path>, plugin: F)
where
    F: Function<A, Answer: IntoVerdict> + Copy,
{
    check(folder.as_ref(), |event, config| {
        let answer = guest::filter(plugin, event, config);
        answer_text(answer.map(|verdict| match verdict {
            Verdict::Pass => Outcome::Unchanged,
            Verdict::Drop(reason) => Outcome::Drop(reason),
        }))
    });
}

/// Runs a transform on each `.json` file of a folder.
///
/// # Panics
/// As [`check_filter`].
pub fn check_transform<A, F>(folder: impl AsRef<Path>, plugin: F)
where
    F: Function<A, Answer: IntoOutcome> + Copy,
{
    check(folder.as_ref(), |event, config| answer_text(guest::transform(plugin, event, config)));
}

fn check(folder: &Path, answer: impl Fn(Event<String>, &str) -> Document) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    assert!(!paths.is_empty(), "no fixtures in {}", folder.display());
    for path in paths {
        let fixture: Document = std::fs::read_to_string(&path)
            .map_err(|e| e.to_string())
            .and_then(|text| text.parse().map_err(|e: antar_json::ParseError| e.to_string()))
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let root = fixture.root();
        let (event, expected) = match (root.get("event"), root.get("expect")) {
            (Some(event), Some(expected)) => (event, expected),
            _ => panic!("{}: a fixture has `event` and `expect`", path.display()),
        };
        let config = root.get("config").map_or("{}", Value::raw);
        let got = answer(fixture_event(event), config);
        assert_eq!(got.text(), expected.raw(), "{}: got, expected", path.display());
    }
}

fn fixture_event(given: Value<'_>) -> Event<String> {
    let mut event = event("{}").with_data(given.get("data").map_or("{}", Value::raw).to_owned());
    let text = |name| given.get(name).and_then(Value::as_str).map(std::borrow::Cow::into_owned);
    let fields = [
        ("id", &mut event.id),
        ("type", &mut event.event_type),
        ("tenant", &mut event.tenant),
        ("timestamp", &mut event.timestamp),
    ];
    for (name, field) in fields {
        if let Some(value) = text(name) {
            *field = value;
        }
    }
    let pairs = given.get("attributes").into_iter().flat_map(Value::members);
    let pairs = pairs.filter_map(|(name, value)| Some((name.as_str()?, value.as_str()?)));
    event.attributes = pairs.map(|(name, value)| (name.into(), value.into())).collect();
    event
}

/// An answer in the form of a fixture's `expect`.
fn answer_text(answer: Result<Outcome, Problem>) -> Document {
    let mut out = Builder::new();
    match answer {
        Ok(Outcome::Unchanged) => {
            out.string("pass");
        }
        Ok(Outcome::Drop(reason)) => one(&mut out, "drop", &reason),
        Ok(Outcome::Replace(replacement)) => write(&mut out, &replacement),
        Ok(Outcome::Split(parts)) => {
            out.object().key("split").array();
            parts.iter().for_each(|part| write(&mut out, part));
            out.end().end();
        }
        Err(Problem::Retry(reason)) => one(&mut out, "retry", &reason),
        Err(Problem::Fail(reason)) => one(&mut out, "fail", &reason),
    }
    out.finish()
}

fn one(out: &mut Builder, key: &str, value: &str) {
    out.object().key(key).string(value).end();
}

fn write(out: &mut Builder, replacement: &Replacement) {
    out.object().key("data").copy(replacement.data.root());
    if let Some(event_type) = &replacement.event_type {
        out.key("event_type").string(event_type);
    }
    let lists = [("attributes", &replacement.attributes), ("headers", &replacement.headers)];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        out.key(name).object();
        for (key, value) in list {
            out.key(key).string(value);
        }
        out.end();
    }
    out.end();
}
