//! `cargo xtask bench`: figures, each beside a floor or a peer from the same run.

use anyhow::Result;

use crate::command::{cargo, must};
use crate::screen::Screen;

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
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (package, example) = match arguments.what {
        Part::Rules => ("antar-rules", "bench"),
        Part::Templates => ("antar-template", "render"),
        Part::Plugins => return plugins(&arguments.rest),
    };
    Screen::new().heading(&format!("cargo run --release -p {package} --example {example}"));
    let mut command = cargo(&crate::root());
    command.args(["run", "--release", "--locked", "-p", package, "--example", example, "--"]);
    must(command.args(&arguments.rest))
}

/// The bench of plugins has a workspace of its own, beside this one.
fn plugins(rest: &[String]) -> Result<()> {
    let mut words = vec!["run", "--release", "--locked"];
    if !rest.iter().any(|word| word == "--no-extism") {
        // Extism's newest version asks for a newer compiler than it needs.
        words.extend(["--features", "extism", "--ignore-rust-version"]);
    }
    Screen::new().heading(&format!("cd bench && cargo {}", words.join(" ")));
    must(cargo(&crate::root().join("bench")).args(words))
}
