//! Checks that every plugin must pass, in whatever language it is written.

use antar_json::{Builder, Document, Kind, Value};

use super::check::Check;
use super::fixture::{self, Fixture};
use super::local::{Event, Local};
use super::{duration, odd_inputs, size};
use crate::plugin::{CallError, CallReport, Kind as PluginKind, Outcome, Place};

/// Member added to events to check that it comes out unchanged.
const MARK: &str = "antar_check";
const MARKED: &str = r#"{"z":8202522731445525542,"a":-9007199254740993,"price":1.10,"text":"Ay\u0075 é 😀 \" \\ \n","empty":{},"list":[3,1,2,null,true,[]],"Z":{"b":1,"a":{"y":0,"x":18446744073709551615}}}"#;
/// Size of the large event. A posted event may be larger; most are a hundredth of it.
const LARGE_BYTES: usize = 256 << 10;
/// Attributes that a posted event may have at most.
const ATTRIBUTES_MAX: usize = 64;
/// Characters of a document shown in a message.
const SHOWN_CHARS: usize = 160;

/// A compiled plugin under test, with events and a config that it accepts.
struct Subject<'a> {
    local: &'a Local,
    /// Events of the fixtures, and one without data.
    events: Vec<(Event, Place)>,
    config: String,
}

/// Runs all checks, ordered so that the first failure explains the most.
pub(super) async fn run(local: &Local, fixtures: &[Fixture]) -> Vec<Check> {
    let mut events: Vec<_> = fixtures.iter().map(|f| (f.event.clone(), f.place)).collect();
    events.push((Event::with_data("{}"), Place::Webhook));
    let subject = Subject { local, events, config: config(local, fixtures) };
    vec![
        Check::of("describe", subject.describes_itself()),
        subject.schema(),
        Check::of("empty config", subject.empty_config().await),
        Check::of("wrong config", subject.wrong_config().await),
        Check::of("odd data", subject.odd_data().await),
        Check::of("unicode", subject.unicode().await),
        Check::of("attributes", subject.attributes().await),
        Check::of("same answer twice", subject.same_answer_twice().await),
        Check::of("large event", subject.large_event().await),
        subject.numbers_and_order().await,
    ]
}

/// A config that the plugin accepts: the longest of the fixtures', or else one generated from its
/// schema.
fn config(local: &Local, fixtures: &[Fixture]) -> String {
    let accepted =
        |text: &str| text.parse().is_ok_and(|config| local.config_errors(&config).is_empty());
    let of_fixture = fixtures
        .iter()
        .map(|f| f.config.as_str())
        .filter(|text| accepted(text))
        .max_by_key(|text| text.len());
    let schema = || local.plugin.config_schema().and_then(|text| serde_json::from_str(text).ok());
    of_fixture.map(str::to_owned).unwrap_or_else(|| {
        schema().map_or_else(
            || "{}".to_owned(),
            |schema| odd_inputs::sample_config(&schema).to_string(),
        )
    })
}

impl Subject<'_> {
    /// Calls the plugin, which must give a valid answer; a request for a retry counts as one.
    async fn ask(&self, event: &Event, config: &str, place: Place) -> Result<CallReport, String> {
        let report = self.local.call(event, config, place).await;
        match &report.result {
            Ok(_) | Err(CallError::Retry(_) | CallError::Fail(_)) => Ok(report),
            Err(error) => {
                let mut why =
                    format!("{error}\ndata   {}\nconfig {}", short(&event.data), short(config));
                let logs = report.logs.iter().rev().take(3);
                logs.for_each(|(level, line)| why.push_str(&format!("\nlog {level:?}: {line}")));
                Err(why)
            }
        }
    }

    fn describes_itself(&self) -> Result<String, String> {
        match self.local.plugin.description().lines().next() {
            Some(line) if !line.trim().is_empty() => Ok(short(line)),
            _ => Err("describe gives no description: people who choose a plugin read it. In Rust \
                      it is the doc comment of the function"
                .into()),
        }
    }

    fn schema(&self) -> Check {
        const NAME: &str = "config schema";
        let Some(text) = self.local.plugin.config_schema() else {
            return Check::skipped(
                NAME,
                "it has none: any config is accepted when a webhook is saved",
            );
        };
        Check::of(NAME, self.check_schema(text))
    }

    fn check_schema(&self, text: &str) -> Result<String, String> {
        let schema: Document =
            text.parse().map_err(|error| format!("the schema is no JSON: {error}"))?;
        let config = self.config.parse().map_err(|error| format!("{error}"))?;
        if let Some(why) = self.local.config_errors(&config).first() {
            return Err(format!(
                "neither a fixture nor the schema gives a config that the schema accepts; {} is \
                 refused: {why}. Add a fixture with a good one",
                short(&self.config)
            ));
        }
        let fields = schema.root().get("properties").into_iter().flat_map(Value::members);
        let bare: Vec<_> = fields
            .clone()
            .filter(|(_, field)| field.get("description").is_none() && field.get("$ref").is_none())
            .map(|(name, _)| name.raw())
            .collect();
        match (bare.is_empty(), fields.count()) {
            (true, count) => Ok(format!("{count} fields, {}", size(text.len()))),
            (false, count) => {
                Ok(format!("{count} fields; without a description: {}", bare.join(", ")))
            }
        }
    }

    async fn empty_config(&self) -> Result<String, String> {
        let mut seen = Vec::new();
        for (event, place) in &self.events {
            seen.push(self.ask(event, "{}", *place).await?);
        }
        let problems = seen.iter().filter(|report| report.result.is_err()).count();
        Ok(if problems == seen.len() { "refused with a reason" } else { "accepted" }.into())
    }

    async fn wrong_config(&self) -> Result<String, String> {
        let mut configs: Vec<String> =
            ["[]", "null", "7", "\"text\"", r#"{"antar_no_such_field":{"a":[1]}}"#]
                .map(str::to_owned)
                .into();
        configs.extend(
            self.config.parse().map(|config| odd_inputs::variants(&config)).unwrap_or_default(),
        );
        let Some((event, place)) = self.events.first() else { return Ok(String::new()) };
        for config in &configs {
            self.ask(event, config, *place).await?;
        }
        Ok(format!("{} configs", configs.len()))
    }

    async fn odd_data(&self) -> Result<String, String> {
        let mut all = odd_inputs::data();
        for (event, _) in self.events.iter().take(3) {
            all.extend(
                event.data.parse().map(|data| odd_inputs::variants(&data)).unwrap_or_default(),
            );
        }
        let count = all.len();
        for data in all {
            self.ask(&Event::with_data(data), &self.config, Place::Webhook).await?;
        }
        Ok(format!("{count} events"))
    }

    async fn unicode(&self) -> Result<String, String> {
        let data = r#"{"नाम":"अयु","ключ":"значение","emoji":"👩‍👩‍👧","combined":"e\u0301","rtl":"مرحبا","name":"😀"}"#;
        let mut event = Event::with_data(data);
        event.tenant = "ténant-日本".into();
        event.attributes = vec![("kanal-ü".into(), "日本語 😀".into())];
        self.ask(&event, &self.config, Place::Webhook).await?;
        Ok(String::new())
    }

    async fn attributes(&self) -> Result<String, String> {
        let Some((event, place)) = self.events.first() else { return Ok(String::new()) };
        let mut event = event.clone();
        event.attributes = Vec::new();
        self.ask(&event, &self.config, *place).await?;
        event.attributes = vec![(String::new(), String::new())];
        self.ask(&event, &self.config, *place).await?;
        let many = (0..ATTRIBUTES_MAX).map(|n| (format!("name-{n}"), "x".repeat(200)));
        event.attributes = many.collect();
        self.ask(&event, &self.config, *place).await?;
        Ok(format!("none, empty ones, {ATTRIBUTES_MAX}"))
    }

    async fn same_answer_twice(&self) -> Result<String, String> {
        for (event, place) in &self.events {
            let first = fixture::answer(&self.ask(event, &self.config, *place).await?.result);
            let second = fixture::answer(&self.ask(event, &self.config, *place).await?.result);
            if first != second {
                return Err(format!(
                    "the same event and config give two answers; is there a clock, randomness or \
                     the order of a hash map in it?\nfirst  {}\nsecond {}",
                    short(first.text()),
                    short(second.text())
                ));
            }
        }
        Ok(format!("{} events", self.events.len()))
    }

    async fn large_event(&self) -> Result<String, String> {
        let event = Event::with_data(odd_inputs::large_data(LARGE_BYTES));
        let report = self.ask(&event, &self.config, Place::Webhook).await?;
        let limits = self.local.host.limits();
        Ok(format!(
            "{} in {} of {}, {} of memory",
            size(event.data.len()),
            duration(report.took_us),
            duration(limits.call_time_ms * 1_000),
            size(report.memory_bytes)
        ))
    }

    /// Data that the plugin does not touch must stay unchanged: integers to the last digit, the
    /// order of keys.
    async fn numbers_and_order(&self) -> Check {
        const NAME: &str = "numbers and key order";
        if self.local.plugin.kind() == PluginKind::Filter {
            return Check::skipped(NAME, "a filter changes nothing");
        }
        let mut kept = 0;
        for (event, place) in &self.events {
            let marked = Event { data: with_mark(&event.data), ..event.clone() };
            let report = match self.ask(&marked, &self.config, *place).await {
                Ok(report) => report,
                Err(why) => return Check::of(NAME, Err(why)),
            };
            let parts = match report.result {
                Ok(Outcome::Replace(one)) => vec![one],
                Ok(Outcome::Split(parts)) => parts,
                _ => continue,
            };
            for mark in parts.iter().filter_map(|part| part.data.root().get(MARK)) {
                if let Err(why) = compare(MARK, with_mark("{}").as_str(), mark) {
                    return Check::of(NAME, Err(why));
                }
                kept += 1;
            }
        }
        match kept {
            0 => Check::skipped(NAME, "what it does not know is in none of its answers"),
            _ => Check::of(NAME, Ok(format!("kept in {kept} answers"))),
        }
    }
}

/// The object with the member `MARK` added.
fn with_mark(data: &str) -> String {
    let (Ok(data), Ok(mark)) = (data.parse::<Document>(), MARKED.parse::<Document>()) else {
        return data.to_owned();
    };
    let mut out = Builder::new();
    out.object();
    for (key, member) in data.root().members() {
        out.copy_key(key).copy(member);
    }
    out.key(MARK).copy(mark.root()).end();
    out.finish().text().to_owned()
}

fn compare(path: &str, whole: &str, got: Value<'_>) -> Result<(), String> {
    let whole: Document = whole.parse().map_err(|error| format!("{error}"))?;
    whole.root().get(MARK).map_or(Ok(()), |sent| same(path, sent, got))
}

/// Compares a value with the one that was sent. Different escapes in texts and different spellings
/// of fractions are equal.
fn same(path: &str, sent: Value<'_>, got: Value<'_>) -> Result<(), String> {
    let differs =
        || Err(format!("{path} was {} and came back as {}", short(sent.raw()), short(got.raw())));
    let is_equal = match (sent.kind(), got.kind()) {
        (Kind::Object, Kind::Object) => {
            let keys = |value: Value<'_>| -> Vec<String> {
                value.members().filter_map(|(key, _)| Some(key.as_str()?.into_owned())).collect()
            };
            if keys(sent) != keys(got) {
                let (sent, got) = (keys(sent).join(", "), keys(got).join(", "));
                return Err(format!("the keys of {path} were {sent}, and came back as {got}"));
            }
            for ((key, a), (_, b)) in sent.members().zip(got.members()) {
                same(&format!("{path}.{}", key.as_str().unwrap_or_default()), a, b)?;
            }
            true
        }
        (Kind::Array, Kind::Array) => {
            for (index, (a, b)) in sent.elements().zip(got.elements()).enumerate() {
                same(&format!("{path}.{index}"), a, b)?;
            }
            sent.elements().count() == got.elements().count()
        }
        (Kind::String, Kind::String) => sent.as_str() == got.as_str(),
        (Kind::Number, Kind::Number) if sent.raw().contains('.') => {
            sent.raw().parse::<f64>().ok() == got.raw().parse::<f64>().ok()
        }
        _ => sent.raw() == got.raw(),
    };
    if is_equal { Ok(()) } else { differs() }
}

/// The beginning of a text, for a message.
fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(from: &str, to: &str) -> Result<(), String> {
        let sent = with_mark("{}");
        let got = sent.replace(from, to).parse::<Document>().unwrap();
        compare(MARK, &sent, got.root().get(MARK).unwrap())
    }

    #[test]
    fn what_matters_is_seen_and_what_does_not_is_not() {
        assert_eq!(change("", ""), Ok(()));
        assert_eq!(change("1.10", "1.1"), Ok(()));
        assert_eq!(change("\\u0075", "u"), Ok(()));
        let rounded = change("8202522731445525542", "8202522731445525000").unwrap_err();
        assert!(
            rounded.contains("antar_check.z was 8202522731445525542 and came back"),
            "{rounded}"
        );
        let sorted = change(r#""b":1,"a":{"#, r#""a":1,"b":{"#).unwrap_err();
        assert!(sorted.contains("the keys of antar_check.Z were b, a"), "{sorted}");
        assert!(change("[3,1,2,null,true,[]]", "[3,1,2,null,true]").is_err());
    }
}
