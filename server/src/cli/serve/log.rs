//! The server's log: prose on a terminal, JSON lines elsewhere.

use std::fmt::{Debug, Display, Result as Formatted, Write};
use std::io::IsTerminal;

use anyhow::anyhow;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, FormattedFields};

use crate::config::ServerConfig;

/// Starts the log, which goes to standard error.
pub(super) fn start(config: &ServerConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| anyhow!("server.log: `{}`: {error}; try `info`", config.log))?;
    let terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let pretty = config.log_format == "pretty" || config.log_format.is_empty() && terminal;
    let started = if pretty {
        log.with_ansi(terminal).with_target(false).try_init()
    } else {
        log.json().flatten_event(true).fmt_fields(SpanFields).try_init()
    };
    started.map_err(|error| anyhow!("the log can't be started: {error}"))
}

/// Formats the fields of a span as a JSON object, which is part of each log line from within the
/// span. Every request has a span, and the library's formatter, which builds a tree of values,
/// costs more than the rest of the span.
struct SpanFields;

impl<'writer> FormatFields<'writer> for SpanFields {
    fn format_fields<R: RecordFields>(&self, mut out: Writer<'writer>, fields: R) -> Formatted {
        let mut text = String::with_capacity(160);
        write_fields(&mut text, |visitor| fields.record(visitor));
        out.write_str(&text)
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> Formatted {
        write_fields(&mut current.fields, |visitor| fields.record(visitor));
        Ok(())
    }
}

/// Appends fields to `text`, which is empty or a JSON object.
fn write_fields(text: &mut String, record: impl FnOnce(&mut dyn Visit)) {
    if text.pop().is_none() {
        text.push('{');
    }
    record(&mut Fields { text });
    text.push('}');
}

struct Fields<'a> {
    /// A JSON object without its closing brace.
    text: &'a mut String,
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
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, "\"");
        antar_json::escape_into(self.text, value);
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_from_within_a_span_have_its_fields() {
        let lines = Lines::default();
        let out = lines.clone();
        let log = tracing_subscriber::fmt().with_writer(move || out.clone());
        let log = log.json().flatten_event(true).fmt_fields(SpanFields).finish();
        tracing::subscriber::with_default(log, || {
            let later = tracing::field::Empty;
            let path = "/\"quoted\"\n\u{1}é";
            let span = tracing::info_span!("request", %path, n = 7_u64, of = -1_i64, x = 0.5, no = f64::NAN, ok = true, later);
            span.record("later", "text");
            span.in_scope(|| tracing::info!("said"));
        });
        let line = lines.0.lock().unwrap().clone();
        let line: Value = serde_json::from_slice(&line).unwrap();
        let expected = json!({"name": "request", "path": "/\"quoted\"\n\u{1}é", "n": 7, "of": -1, "x": 0.5, "no": null, "ok": true, "later": "text"});
        assert_eq!(line["span"], expected);
    }
}
