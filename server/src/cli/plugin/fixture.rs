//! Fixtures: tests as files, each with an event and the expected answer.

use std::path::{Path, PathBuf};

use antar_json::{Builder, Document, Kind, ParseError, Value};

use super::local::Event;
use crate::plugin::{CallError, Outcome, Place, Replacement};

/// One file in the `fixtures` folder of a project.
pub(super) struct Fixture {
    pub(super) event: Event,
    /// JSON text.
    pub(super) config: String,
    pub(super) place: Place,
    pub(super) expect: Document,
}

const FORM: &str =
    "a fixture is {\"event\": {\"type\": …, \"data\": {…}}, \"config\": {…}, \"expect\": …}";
const EXPECT: &str = "`expect` is \"pass\", {\"drop\": \"reason\"}, {\"data\": {…}}, \
                      {\"split\": [{\"data\": {…}}]}, {\"retry\": \"reason\"} or {\"fail\": \"reason\"}";

/// The `.json` files of a folder, sorted by name; none if the folder does not exist.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths
}

/// Reads a JSON file. Errors name the file, line and column.
pub(super) fn read_json(file: &Path) -> Result<Document, String> {
    let text = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Document::parse(&text, antar_json::Limits::default()).map_err(|error: ParseError| {
        format!("{}:{}:{}: {}", file.display(), error.line, error.column, error.what)
    })
}

impl Fixture {
    pub(super) fn read(file: &Path) -> Result<Fixture, String> {
        let document = read_json(file)?;
        let wrong = |what: &str| format!("{}: {what}", file.display());
        let root = document.root();
        let known = ["event", "config", "expect", "at", "description"];
        for (key, _) in root.members() {
            if !known.iter().any(|name| key.str_eq(name)) {
                return Err(wrong(&format!("{} means nothing here; {FORM}", key.raw())));
            }
        }
        let event = root.get("event").filter(|event| event.kind() == Kind::Object);
        let event = event.ok_or_else(|| wrong(&format!("`event` is missing; {FORM}")))?;
        let expect = root.get("expect").filter(|expect| is_answer(*expect));
        let expect = expect.ok_or_else(|| wrong(EXPECT))?;
        let place = match root.get("at").map(Value::raw) {
            Some("\"intake\"") => Place::Intake,
            Some("\"webhook\"") => Place::Webhook,
            Some(other) => return Err(wrong(&format!("`at` is intake or webhook, not {other}"))),
            // These answers are valid at intake only.
            None if ["split", "event_type", "attributes"]
                .iter()
                .any(|k| expect.get(k).is_some()) =>
            {
                Place::Intake
            }
            None => Place::Webhook,
        };
        Ok(Fixture {
            event: read_event(event).map_err(|what| wrong(&what))?,
            config: root.get("config").map_or("{}", Value::raw).to_owned(),
            place,
            expect: expect.to_document(),
        })
    }
}

fn is_answer(expect: Value<'_>) -> bool {
    let keys = ["drop", "data", "split", "retry", "fail", "trap", "timed_out", "bad_output"];
    expect.str_eq("pass") || keys.iter().any(|key| expect.get(key).is_some())
}

/// Reads an event as it would be posted, with plausible values for missing members.
pub(super) fn read_event(given: Value<'_>) -> Result<Event, String> {
    let data = given.get("data");
    if data.is_some_and(|data| data.kind() != Kind::Object) {
        return Err("the event's `data` is a JSON object".into());
    }
    let mut event = Event::with_data(data.map_or("{}", Value::raw));
    let fields = [
        ("id", &mut event.id),
        ("type", &mut event.event_type),
        ("tenant", &mut event.tenant),
        ("timestamp", &mut event.timestamp),
    ];
    for (name, field) in fields {
        match given.get(name).map(|value| value.as_str().ok_or(value)) {
            Some(Ok(text)) => *field = text.into_owned(),
            Some(Err(other)) => {
                return Err(format!("the event's `{name}` is a text, not {other:?}"));
            }
            None => {}
        }
    }
    let attributes = given.get("attributes").into_iter().flat_map(Value::members);
    let text = |(name, value): (Value<'_>, Value<'_>)| {
        Some((name.as_str()?.into_owned(), value.as_str()?.into_owned()))
    };
    event.attributes = attributes.filter_map(text).collect();
    Ok(event)
}

/// An answer in the format of a fixture's `expect`.
pub(super) fn answer(result: &Result<Outcome, CallError>) -> Document {
    let mut out = Builder::new();
    match result {
        Ok(Outcome::Pass) => {
            out.string("pass");
        }
        Ok(Outcome::Drop(reason)) => one(&mut out, "drop", reason),
        Ok(Outcome::Replace(replacement)) => write(&mut out, replacement),
        Ok(Outcome::Split(parts)) => {
            out.object().key("split").array();
            parts.iter().for_each(|part| write(&mut out, part));
            out.end().end();
        }
        Err(error) => one(&mut out, error.name(), &error.to_string()),
    }
    out.finish()
}

fn one(out: &mut Builder, key: &str, value: &str) {
    out.object().key(key).string(value).end();
}

/// Writes `{"data": …}` and whatever else the replacement sets.
pub(super) fn write(out: &mut Builder, replacement: &Replacement) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Fixture, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        std::fs::write(&file, text).unwrap();
        Fixture::read(&file).map_err(|e| e.replace(&folder.path().display().to_string(), "F"))
    }

    fn complaint(text: &str) -> String {
        read(text).err().unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_in_a_fixture_is_named_with_its_place() {
        assert!(
            complaint("{\n  \"event\": {},,\n}").starts_with("F/a.json:2:15: "),
            "{}",
            complaint("{\n  \"event\": {},,\n}")
        );
        assert!(complaint("{\"expect\": \"pass\"}").contains("`event` is missing; a fixture is"));
        assert!(complaint("{\"event\": {}}").contains("`expect` is \"pass\", "));
        assert!(complaint("{\"event\": {}, \"expect\": \"passes\"}").contains("`expect` is "));
        let typo = "{\"event\": {}, \"expct\": \"pass\"}";
        assert!(complaint(typo).contains("\"expct\" means nothing here"));
        let data = "{\"event\": {\"data\": []}, \"expect\": \"pass\"}";
        assert!(complaint(data).contains("`data` is a JSON object"));
        let id = "{\"event\": {\"id\": 7}, \"expect\": \"pass\"}";
        assert!(complaint(id).contains("`id` is a text, not 7"));
    }

    #[test]
    fn what_only_intake_may_answer_is_asked_at_intake() {
        let place = |expect: &str| {
            read(&format!("{{\"event\": {{}}, \"expect\": {expect}}}")).unwrap().place
        };
        assert_eq!(place("\"pass\""), Place::Webhook);
        assert_eq!(place("{\"split\": []}"), Place::Intake);
        assert_eq!(place("{\"data\": {}, \"event_type\": \"a.b\"}"), Place::Intake);
        assert_eq!(place("{\"data\": {}, \"headers\": {\"a\": \"b\"}}"), Place::Webhook);
    }
}
