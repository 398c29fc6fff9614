//! `cargo xtask fuzz`: random input, for as many cases as requested.

use anyhow::Result;

use crate::command::{cargo, must};
use crate::screen::Screen;

/// Try random input against what is promised, in a release build, on all cores.
///
/// The tests run some thousand of the same cases. A case that breaks a promise is printed with the
/// seed that repeats it. The first run compiles in release mode, which takes some minutes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    what: Part,
    /// How many cases
    #[arg(long, default_value_t = 10_000_000)]
    cases: u64,
    /// Which cases; the same seed gives the same ones [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Run this one case of the seed
    #[arg(long, requires = "seed")]
    only: Option<u64>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Part {
    /// Random templates over random events: what compiles keeps what its place promises.
    Templates,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (package, example) = match arguments.what {
        Part::Templates => ("antar-template", "fuzz"),
    };
    Screen::new().heading(&format!("cargo run --release -p {package} --example {example}"));
    let mut command = cargo(&crate::root());
    command.args(["run", "--release", "--locked", "-p", package, "--example", example, "--"]);
    command.args(["--cases", &arguments.cases.to_string()]);
    for (name, value) in [("--seed", arguments.seed), ("--only", arguments.only)] {
        command.args(value.iter().flat_map(|value| [name.to_owned(), value.to_string()]));
    }
    must(&mut command)
}
