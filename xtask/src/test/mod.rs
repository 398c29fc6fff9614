//! `cargo xtask test`: everything CI checks, step by step, until the first failure.

mod counts;
pub(crate) mod postgres;
pub(crate) mod prerequisites;
mod steps;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::at_exit::AtExit;
use crate::guests::Guests;
use crate::screen::{Screen, spell};
use counts::Counts;
use postgres::Postgres;

/// Check everything CI checks: format, lints, structure, licences, and all tests on SQLite and PostgreSQL.
///
/// Steps run in order and the first failure stops the run, with the fix named. The first run
/// compiles everything and takes about ten minutes on two cores; later ones much less. A PostgreSQL of
/// its own is started in a temporary folder and removed at the end; set
/// ANTAR_TEST_DATABASE_URL to use a running one.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run this step and no other; may be given more than once.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Leave this step out; may be given more than once.
    #[arg(long, value_name = "STEP")]
    skip: Vec<String>,
    /// Then run what takes longer, about an hour.
    #[arg(long)]
    long: bool,
    /// Print the steps and what each does.
    #[arg(long)]
    list: bool,
}

/// State shared by the steps. PostgreSQL and the WASM guests are prepared when the first step needs
/// them.
struct Workshop {
    root: PathBuf,
    screen: Screen,
    at_exit: AtExit,
    postgres: Option<Postgres>,
    guests: Option<Guests>,
    counts: Counts,
    /// What was not checked, and why.
    skipped: Vec<(String, String)>,
}

/// Names in `.ci/may-skip`: what a machine may leave unchecked without failing the run.
const MAY_SKIP: &str = ".ci/may-skip";

/// Outcome of a step that did not fail.
enum Outcome {
    Passed(String),
    Skipped(String),
}

struct Step {
    name: &'static str,
    about: &'static str,
    /// What to do when it fails.
    fix: &'static str,
    run: fn(&mut Workshop) -> Result<Outcome>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.list {
        for step in steps::ALL {
            println!("{:15} {}", step.name, step.about);
        }
        println!("with --long:");
        for step in steps::LONG {
            println!("{:15} {}", step.name, step.about);
        }
        return Ok(());
    }
    let chosen = choose(arguments)?;
    let mut workshop = Workshop {
        root: crate::root(),
        screen: Screen::new(),
        at_exit: AtExit::new()?,
        postgres: None,
        guests: None,
        counts: Counts::default(),
        skipped: Vec::new(),
    };
    let began = Instant::now();
    let mut rows = Vec::new();
    let mut failed = None;
    for (index, step) in chosen.iter().enumerate() {
        let title = format!("[{}/{}] {}: {}", index + 1, chosen.len(), step.name, step.about);
        workshop.screen.heading(&title);
        let at = Instant::now();
        let result = (step.run)(&mut workshop);
        if let Ok(Outcome::Skipped(why)) = &result {
            workshop.skipped.push((step.name.to_owned(), why.clone()));
        }
        rows.push((step.name, show(workshop.screen, &result, at.elapsed()), at.elapsed()));
        if let Err(error) = result {
            failed = Some((step, error));
            break;
        }
    }
    summary(workshop.screen, &rows, began.elapsed());
    let (counts, skipped) = (workshop.counts, std::mem::take(&mut workshop.skipped));
    drop(workshop);
    if let Some((step, error)) = &failed {
        println!("\nstep {} failed: {error:#}\nwhat to do: {}\n", step.name, step.fix);
    }
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if !skipped.is_empty() {
        let named: Vec<_> = skipped.iter().map(|(name, why)| format!("{name} ({why})")).collect();
        println!("skipped: {}", named.join("; "));
    }
    if let Some((step, _)) = failed {
        bail!("cargo xtask test stopped at {}", step.name);
    }
    let list = std::fs::read_to_string(crate::root().join(MAY_SKIP)).unwrap_or_default();
    match unlisted(&skipped, &list).as_slice() {
        [] => Ok(()),
        names => bail!(
            "skipped without a reason in {MAY_SKIP}: {}; install what is missing, or add a line there",
            names.join(", ")
        ),
    }
}

/// What was skipped though no line `NAME: REASON` of the list permits it.
fn unlisted<'a>(skipped: &'a [(String, String)], list: &str) -> Vec<&'a str> {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let permitted: Vec<&str> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(_, reason)| !reason.trim().is_empty())
        .map(|(name, _)| name.trim())
        .collect();
    let names = skipped.iter().map(|(name, _)| name.as_str());
    names.filter(|name| !permitted.contains(name)).collect()
}

fn choose(arguments: &Arguments) -> Result<Vec<&'static Step>> {
    let named = arguments.only.iter().chain(&arguments.skip);
    for name in named {
        if !steps::ALL.iter().chain(steps::LONG).any(|step| step.name == name) {
            bail!("there is no step `{name}`; `cargo xtask test --list` prints them");
        }
    }
    // A long step that is named is wanted.
    let long = arguments.long || !arguments.only.is_empty();
    let wanted = |step: &&Step| {
        (arguments.only.is_empty() || arguments.only.iter().any(|name| name == step.name))
            && !arguments.skip.iter().any(|name| name == step.name)
    };
    let more = if long { steps::LONG } else { &[] };
    let chosen: Vec<_> = steps::ALL.iter().chain(more).filter(wanted).collect();
    if chosen.is_empty() {
        bail!("no step is left to run");
    }
    Ok(chosen)
}

/// Prints the outcome of a step and returns the word for the summary.
fn show(screen: Screen, result: &Result<Outcome>, took: Duration) -> &'static str {
    match result {
        Ok(Outcome::Passed(what)) => {
            screen.good(&format!("ok in {}{}", spell(took), joined(what)));
            "ok"
        }
        Ok(Outcome::Skipped(why)) => {
            screen.note(&format!("skipped{}", joined(why)));
            "skipped"
        }
        Err(_) => {
            screen.bad(&format!("failed after {}", spell(took)));
            "failed"
        }
    }
}

fn joined(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn summary(screen: Screen, rows: &[(&str, &str, Duration)], total: Duration) {
    screen.heading("summary");
    for (name, word, took) in rows {
        screen.note(&format!("{name:15} {word:8} {}", spell(*took)));
    }
    screen.note(&format!("{:15} {:8} {}", "", "", spell(total)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_step_needs_a_reason() {
        let skipped =
            [("deny".to_owned(), String::new()), ("plugins in js".to_owned(), String::new())];
        let list = "# plugins in js: a comment\ndeny: tidy checks licences\nplugins in js:\n";
        assert_eq!(unlisted(&skipped, list), ["plugins in js"]);
        assert_eq!(unlisted(&skipped, ""), ["deny", "plugins in js"]);
        assert_eq!(unlisted(&[], ""), Vec::<&str>::new());
    }
}
