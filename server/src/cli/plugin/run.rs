//! `antar plugin run`: calls a plugin with one event.

use std::path::PathBuf;

use antar_json::{Builder, Document, Kind};
use anyhow::bail;

use super::build::progress;
use super::fixture;
use super::local::{Event, Local};
use super::project::file_or_built;
use super::{duration, size};
use crate::cli::terminal::pretty::pretty;
use crate::cli::terminal::screen::{DIM, GREEN, RED, Screen, YELLOW};
use crate::cli::terminal::usage::Usage;
use crate::plugin::{CallReport, Outcome, Place};

/// Runs a plugin on one event, here, and shows its answer, its log, time and memory.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// A .wasm file. Left out: the project's, built when needed.
    file: Option<PathBuf>,
    /// A file with an event as it would be posted, or with a fixture.
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// A file with the config. Left out: that of the fixture, else {}.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// As an intake plugin, which may change type and attributes and split the event.
    #[arg(long)]
    intake: bool,
}

const EXAMPLES: &str = "\
Examples:
  antar plugin run --event fixtures/passes.json
  antar plugin run by-label.wasm --event event.json --config config.json";

pub(super) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let read = |path: &PathBuf| fixture::read_json(path).map_err(anyhow::Error::msg);
    let given = read(&arguments.event)?;
    let event = event(&given)
        .map_err(|what| Usage::error(format!("{}: {what}", arguments.event.display())))?;
    let config = match &arguments.config {
        Some(path) => read(path)?,
        None => match given.root().get("config").filter(|_| given.root().get("event").is_some()) {
            Some(config) => config.to_document(),
            None => "{}".parse()?,
        },
    };
    let (file, _) = file_or_built(arguments.file.as_deref(), &mut progress)?;
    let local = Local::load(&file).await?;
    let errors = local.config_errors(&config);
    if !errors.is_empty() {
        bail!("such a config is refused when a webhook is saved:\n  {}", errors.join("\n  "));
    }
    let place = if arguments.intake { Place::Intake } else { Place::Webhook };
    let report = local.call(&event, config.text(), place).await;
    if screen.is_text() {
        show(&report, screen);
    } else {
        screen.line(json(&report).text());
    }
    match report.result {
        Ok(_) => Ok(()),
        Err(error) => bail!("{}: {error}", error.name()),
    }
}

/// The event of a fixture, or the document itself.
fn event(given: &Document) -> Result<Event, String> {
    let root = given.root();
    let event = root.get("event").unwrap_or(root);
    let known = ["type", "data"].iter().any(|name| event.get(name).is_some());
    if event.kind() != Kind::Object || !known {
        return Err("an event is {\"type\": \"conversation.created\", \"data\": {…}}".into());
    }
    fixture::read_event(event)
}

fn show(report: &CallReport, screen: Screen) {
    let replacements = match &report.result {
        Ok(Outcome::Pass) => {
            screen.line(&screen.paint(GREEN, "pass"));
            Vec::new()
        }
        Ok(Outcome::Drop(reason)) => {
            screen.line(&format!("{}: {reason}", screen.paint(YELLOW, "drop")));
            Vec::new()
        }
        Ok(Outcome::Replace(one)) => {
            screen.line(&screen.paint(GREEN, "replace"));
            vec![one]
        }
        Ok(Outcome::Split(parts)) => {
            let text = format!("split into {}", parts.len());
            screen.line(&screen.paint(GREEN, &text));
            parts.iter().collect()
        }
        Err(error) => {
            screen.line(&format!("{}: {error}", screen.paint(RED, error.name())));
            Vec::new()
        }
    };
    for replacement in replacements {
        let mut out = Builder::new();
        fixture::write(&mut out, replacement);
        let all = out.finish();
        // Most replacements set only the data.
        let only_data = all.root().members().count() == 1;
        screen.line(&if only_data { pretty(&replacement.data) } else { pretty(&all) });
    }
    for (level, line) in &report.logs {
        screen.line(&format!("{} {line}", screen.paint(DIM, &format!("log {level:?}:"))));
    }
    let figures = format!("{}, {} of memory", duration(report.took_us), size(report.memory_bytes));
    screen.line(&screen.paint(DIM, &figures));
}

fn json(report: &CallReport) -> Document {
    let mut out = Builder::new();
    out.object().key("answer").copy(fixture::answer(&report.result).root()).key("logs").array();
    for (level, line) in &report.logs {
        let level = format!("{level:?}").to_lowercase();
        out.object().key("level").string(&level).key("text").string(line).end();
    }
    out.end();
    out.key("took_us").number(i64::try_from(report.took_us).unwrap_or(i64::MAX));
    out.key("memory_bytes").number(i64::try_from(report.memory_bytes).unwrap_or(i64::MAX)).end();
    out.finish()
}
