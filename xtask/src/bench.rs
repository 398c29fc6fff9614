//! `cargo xtask bench`: benchmarks, each beside a floor or a peer measured in the same run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::at_exit::AtExit;
use crate::command::{SHIPPED, build, cargo, must};
use crate::guests::Guests;
use crate::screen::Screen;
use crate::test::{postgres::Postgres, prerequisites};

/// Measure a part in a release build, beside a floor or a peer from the same run.
///
/// The first run compiles in release mode, which takes some minutes. Absolute times belong to
/// the machine; ratios between the lines of one run are what to compare.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    what: Part,
    /// Passed on to the bench.
    #[arg(last = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Part {
    /// Matching an event against 10 to 100,000 rules, beside evaluating all of them.
    Rules,
    /// Filling a CRM's payload, beside the same written by hand with `serde_json`.
    Templates,
    /// A call of a plugin, beside a reused instance, native code and Extism, which takes ten minutes
    /// to compile the first time; `-- --no-extism` leaves it out.
    Plugins,
    /// Events through the whole server on SQLite and PostgreSQL, beside a floor that only appends to a
    /// file and posts on. `-- --help` tells what it takes.
    Delivery,
    /// The server on SQLite at 70 % of what it can do, for 30 minutes: memory, file and times must not
    /// grow. `-- --minutes 5` makes it shorter.
    Soak,
    /// How soon the rest is on its way after a `kill -9`, on SQLite and PostgreSQL.
    Recovery,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (package, example) = match arguments.what {
        Part::Rules => ("antar-rules", "bench"),
        Part::Templates => ("antar-template", "render"),
        Part::Plugins => return plugins(&arguments.rest),
        Part::Delivery => return delivery(&arguments.rest),
        Part::Soak => return soak(&arguments.rest),
        Part::Recovery => return recovery(&arguments.rest),
    };
    Screen::new().heading(&format!("cargo run --release -p {package} --example {example}"));
    let mut command = cargo(&crate::root());
    command.args(["run", "--release", "--locked", "-p", package, "--example", example, "--"]);
    must(command.args(&arguments.rest))
}

/// The plugin benchmark has a workspace of its own, in `bench`.
fn plugins(rest: &[String]) -> Result<()> {
    let mut words = vec!["run", "--release", "--locked"];
    if !rest.iter().any(|word| word == "--no-extism") {
        // Extism's newest version declares a newer compiler than it needs.
        words.extend(["--features", "extism", "--ignore-rust-version"]);
    }
    Screen::new().heading(&format!("cd bench && cargo {}", words.join(" ")));
    must(cargo(&crate::root().join("bench")).args(words))
}

/// Builds the server and its benchmark, and returns their folder.
fn release_build(screen: &Screen, root: &Path) -> Result<PathBuf> {
    screen.heading("the server and the bench, in a release build");
    build(root, &SHIPPED, &["--bin", "antar", "--bin", "antar-delivery-bench"])
}

fn soak(rest: &[String]) -> Result<()> {
    let screen = Screen::new();
    let release = release_build(&screen, &crate::root())?;
    screen.heading("antar-delivery-bench soak");
    let mut command = std::process::Command::new(release.join("antar-delivery-bench"));
    must(command.arg("soak").arg("--antar").arg(release.join("antar")).args(rest))
}

fn recovery(rest: &[String]) -> Result<()> {
    let (screen, at_exit, root) = (Screen::new(), AtExit::new()?, crate::root());
    let release = release_build(&screen, &root)?;
    let mut say = |text: &str| screen.note(text);
    let postgres = Postgres::start(&prerequisites::postgres(&mut say)?, &at_exit, &mut say)?;
    for database in [&[][..], &["--database-url", &postgres.url]] {
        screen.heading(&format!("antar-delivery-bench recovery {}", database.join(" ")));
        let mut command = std::process::Command::new(release.join("antar-delivery-bench"));
        command.arg("recovery").arg("--antar").arg(release.join("antar"));
        must(command.args(database).args(rest))?;
    }
    Ok(())
}

/// Runs the delivery benchmark with a plugin and a temporary PostgreSQL.
fn delivery(rest: &[String]) -> Result<()> {
    let (screen, at_exit, root) = (Screen::new(), AtExit::new()?, crate::root());
    let mut say = |text: &str| screen.note(text);
    let release = release_build(&screen, &root)?;
    let guests = Guests::find(&mut say)?.build(&root, "plugins/by-label", &mut say)?;
    let plugin = guests.first().context("there is no plugin by-label")?;
    let binaries = prerequisites::postgres(&mut say)?;
    let postgres = Postgres::start(&binaries, &at_exit, &mut say)?;
    screen.heading("antar-delivery-bench delivery");
    let mut command = std::process::Command::new(release.join("antar-delivery-bench"));
    command.arg("delivery").arg("--antar").arg(release.join("antar"));
    command.arg("--plugin").arg(&plugin.wasm).args(["--database-url", &postgres.url]);
    must(command.args(rest))
}
