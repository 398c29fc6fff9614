//! Lines of the log. Callers decide what many lines say and how often they are written, so every field is cut
//! to a number of characters, and so is the number of lines from one place in the program.

use std::collections::HashMap;
use std::fmt::{self, Debug, Display, Result as Formatted, Write};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::field::{MakeExt, RecordFields};
use tracing_subscriber::fmt::format::{self, Format, Full, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

const WINDOW: Duration = Duration::from_secs(60);

/// Limits the lines of each place in the program within a minute.
pub(super) struct Pace {
    lines_max: u32,
    windows: Mutex<HashMap<Identifier, Window>>,
}

struct Window {
    began: Instant,
    lines: u32,
    left_out: u64,
}

impl Pace {
    pub(super) fn new(lines_max: u32) -> Pace {
        Pace { lines_max, windows: Mutex::default() }
    }

    /// Whether a line is written, and how many from the same place were left out before it.
    fn admit(&self, place: &Metadata<'_>, now: Instant) -> Option<u64> {
        if *place.level() > Level::INFO {
            return Some(0);
        }
        let mut windows = self.windows.lock();
        let new = || Window { began: now, lines: 0, left_out: 0 };
        let window = windows.entry(place.callsite()).or_insert_with(new);
        let mut left_out = 0;
        if now.duration_since(window.began) >= WINDOW {
            left_out = window.left_out;
            *window = new();
        }
        if window.lines < self.lines_max {
            window.lines += 1;
            return Some(left_out);
        }
        window.left_out += 1;
        None
    }
}

/// A line as a JSON object, with the fields of its span.
pub(super) struct JsonLine {
    pub(super) pace: Pace,
    pub(super) field_characters_max: usize,
}

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> Formatted {
        let place = event.metadata();
        let Some(left_out) = self.pace.admit(place, Instant::now()) else { return Ok(()) };
        let mut text = String::from("{\"timestamp\":\"");
        SystemTime.format_time(&mut Writer::new(&mut text))?;
        write!(text, "\",\"level\":\"{}\"", place.level())?;
        event.record(&mut Fields { text: &mut text, characters_max: self.field_characters_max });
        write!(text, ",\"target\":\"{}\"", place.target())?;
        if left_out > 0 {
            write!(text, ",\"left_out\":{left_out}")?;
        }
        let span = event.parent().and_then(|id| context.span(id));
        if let Some(span) = span.or_else(|| context.lookup_current()) {
            let parts = span.extensions();
            let fields = parts.get::<FormattedFields<N>>().and_then(|f| f.fields.strip_prefix('{'));
            write!(text, ",\"span\":{{\"name\":\"{}\"", span.name())?;
            match fields {
                Some(fields) if fields != "}" => write!(text, ",{fields}")?,
                _ => text.push('}'),
            }
        }
        text.push('}');
        writeln!(out, "{text}")
    }
}

/// Formats the fields of a span as a JSON object. Every request has a span, and the library's formatter,
/// which builds a tree of values, costs more than the rest of the span.
pub(super) struct JsonSpan {
    pub(super) field_characters_max: usize,
}

impl JsonSpan {
    /// Appends fields to `text`, which is empty or a JSON object.
    fn write(&self, text: &mut String, record: impl FnOnce(&mut dyn Visit)) {
        if text.pop().is_none() {
            text.push('{');
        }
        record(&mut Fields { text, characters_max: self.field_characters_max });
        text.push('}');
    }
}

impl<'writer> FormatFields<'writer> for JsonSpan {
    fn format_fields<R: RecordFields>(&self, mut out: Writer<'writer>, fields: R) -> Formatted {
        let mut text = String::with_capacity(160);
        self.write(&mut text, |visitor| fields.record(visitor));
        out.write_str(&text)
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> Formatted {
        self.write(&mut current.fields, |visitor| fields.record(visitor));
        Ok(())
    }
}

struct Fields<'a> {
    /// A JSON object without its closing brace.
    text: &'a mut String,
    characters_max: usize,
}

impl Fields<'_> {
    /// Writes `value` unquoted: a number, or `true`.
    fn put(&mut self, field: &Field, value: impl Display) {
        let separator = if self.text.len() > 1 { "," } else { "" };
        // Writing to a string can't fail.
        let _ = write!(self.text, "{separator}\"{}\":{value}", field.name());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &Cut::text(value, self.characters_max));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, "\"");
        // The bytes are at least as many as the characters.
        let end = match value.len() <= self.characters_max {
            true => None,
            false => value.char_indices().nth(self.characters_max),
        };
        match end {
            Some((end, _)) if value[end..] != *CUT => {
                antar_json::escape_into(self.text, &value[..end]);
                self.text.push_str(CUT);
            }
            _ => antar_json::escape_into(self.text, value),
        }
        self.text.push('"');
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has neither infinity nor NaN.
        if value.is_finite() {
            self.put(field, value);
        } else {
            self.put(field, "null");
        }
    }
}

/// A line for people.
pub(super) struct ProseLine {
    pub(super) pace: Pace,
    pub(super) format: Format<Full, SystemTime>,
}

impl<S, N> FormatEvent<S, N> for ProseLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> Formatted {
        match self.pace.admit(event.metadata(), Instant::now()) {
            None => return Ok(()),
            Some(0) => {}
            Some(left_out) => write!(out, "({left_out} lines like this were left out) ")?,
        }
        self.format.format_event(context, out, event)
    }
}

/// Fields for people.
pub(super) fn prose_fields(
    characters_max: usize,
) -> impl for<'writer> FormatFields<'writer> + 'static {
    let field = move |out: &mut Writer<'_>, field: &Field, value: &dyn Debug| {
        let text = Cut::text(value, characters_max);
        match field.name() {
            "message" => write!(out, "{text}"),
            name => write!(out, "{name}={text}"),
        }
    };
    format::debug_fn(field).delimited(" ")
}

/// Stands for what was cut off.
const CUT: &str = "…";

/// The beginning of a text. Formatting ends once it is full, so that a long value costs no more than a short
/// one.
struct Cut {
    text: String,
    left: usize,
}

impl Cut {
    fn text(value: &dyn Debug, characters_max: usize) -> String {
        let mut cut = Cut { text: String::new(), left: characters_max };
        if write!(cut, "{value:?}").is_err() {
            cut.text.push_str(CUT);
        }
        cut.text
    }
}

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> Formatted {
        for character in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(character);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }

        fn json(&self) -> Vec<Value> {
            self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Lines;

        fn make_writer(&'a self) -> Lines {
            self.clone()
        }
    }

    fn in_json(lines_max: u32, work: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let log = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .fmt_fields(JsonSpan { field_characters_max: 20 })
            .event_format(JsonLine { pace: Pace::new(lines_max), field_characters_max: 20 });
        tracing::subscriber::with_default(log.finish(), work);
        lines.json()
    }

    fn in_prose(lines_max: u32, work: impl FnOnce()) -> String {
        let lines = Lines::default();
        let format = tracing_subscriber::fmt::format().with_target(false);
        let log = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .with_ansi(false)
            .fmt_fields(prose_fields(20))
            .event_format(ProseLine { pace: Pace::new(lines_max), format });
        tracing::subscriber::with_default(log.finish(), work);
        lines.text()
    }

    #[test]
    fn lines_from_within_a_span_have_its_fields() {
        let lines = in_json(10, || {
            let later = tracing::field::Empty;
            let path = "/\"quoted\"\n\u{1}é";
            let span = tracing::info_span!("request", %path, n = 7_u64, of = -1_i64, x = 0.5, no = f64::NAN, ok = true, later);
            span.record("later", "text");
            span.in_scope(|| tracing::info!(status = 200, "said"));
            tracing::info_span!("empty").in_scope(|| tracing::warn!("said {}", "more"));
            tracing::error!("alone");
        });
        let expected = json!({"name": "request", "path": "/\"quoted\"\n\u{1}é", "n": 7, "of": -1, "x": 0.5, "no": null, "ok": true, "later": "text"});
        assert_eq!(lines[0]["span"], expected);
        assert_eq!((&lines[0]["message"], &lines[0]["status"]), (&json!("said"), &json!(200)));
        assert_eq!((&lines[0]["level"], &lines[1]["level"]), (&json!("INFO"), &json!("WARN")));
        assert_eq!(lines[0]["target"], module_path!());
        assert!(lines[0]["timestamp"].as_str().unwrap().ends_with('Z'));
        assert_eq!(lines[1]["span"], json!({"name": "empty"}));
        assert_eq!(lines[1]["message"], "said more");
        assert_eq!(lines[2]["span"], Value::Null);
    }

    #[test]
    fn every_field_is_cut() {
        let long = "é".repeat(60_000);
        let cut = format!("{}…", "é".repeat(20));
        let log = || {
            let span = tracing::info_span!("request", path = long, shown = %long);
            span.in_scope(
                || tracing::info!(text = long, shown = %long, exact = "x".repeat(20), "{long}"),
            );
        };
        let lines = in_json(10, log);
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        for field in ["text", "shown", "message"] {
            assert_eq!(line[field], cut, "{field}");
        }
        assert_eq!(line["exact"], "x".repeat(20));
        assert_eq!(line["span"], json!({"name": "request", "path": cut, "shown": cut}));
        let prose = in_prose(10, log);
        assert!(prose.contains(&format!("shown={cut}")) && prose.len() < 600, "{prose}");
    }

    #[test]
    fn one_place_does_not_fill_the_log() {
        let log = || {
            for number in 0..1_000 {
                tracing::warn!(number, "again");
            }
            tracing::warn!("other");
        };
        let lines = in_json(3, log);
        let numbers: Vec<_> = lines.iter().map(|line| line["number"].clone()).collect();
        assert_eq!(numbers, [json!(0), json!(1), json!(2), Value::Null]);
        assert_eq!(in_prose(3, log).lines().count(), 4);
    }

    #[test]
    fn what_was_left_out_is_counted() {
        let (pace, now) = (Pace::new(2), Instant::now());
        tracing::subscriber::with_default(tracing_subscriber::registry(), || {
            let span = tracing::info_span!("place");
            let place = span.metadata().unwrap();
            let admitted: Vec<_> = (0..5).map(|_| pace.admit(place, now)).collect();
            assert_eq!(admitted, [Some(0), Some(0), None, None, None]);
            assert_eq!(pace.admit(place, now + WINDOW), Some(3));
            assert_eq!(pace.admit(place, now + WINDOW), Some(0));
        });
    }
}
