//! `cargo xtask fuzz`: any input for every parser, for as many cases or minutes as requested.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{SIMULATED, any_seed, build, cargo, must, read};
use crate::screen::Screen;

/// Try inputs that nobody sends against what is promised, in an optimised build, on all cores.
///
/// Each target is a parser of what strangers write. A case is a valid input that was damaged, or a new one that is
/// valid or nearly so. It may be refused; it must not panic, hang, overflow the stack, or use more memory than a
/// multiple of its length. An input that breaks a promise is made smaller and kept below tests/fuzz/seeds, where
/// every later run begins with it. The tests run some thousand of the same cases. The first run compiles for some
/// minutes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Targets of --list [default: all but `templates`]
    targets: Vec<String>,
    /// Print the targets
    #[arg(long)]
    list: bool,
    /// How many cases of each [default: 1,000,000; of `templates` 10,000,000]
    #[arg(long)]
    cases: Option<u64>,
    /// How long for each
    #[arg(long)]
    minutes: Option<u64>,
    /// Which cases; the same seed gives the same ones [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Run this one case of the seed
    #[arg(long, requires = "seed")]
    only: Option<u64>,
}

/// A target with a program of its own: random templates over random events, compared with a model.
const TEMPLATES: &str = "templates";

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (screen, root) = (Screen::new(), crate::root());
    let needs_ours = arguments.list || arguments.targets.iter().any(|name| name != TEMPLATES);
    if needs_ours || arguments.targets.is_empty() {
        let mut command =
            Command::new(build(&root, &SIMULATED, &["--bin", "antar-fuzz"])?.join("antar-fuzz"));
        if arguments.list {
            print!("{}", read(command.arg("list"))?);
            println!(
                "{TEMPLATES:14} random templates over random events: what compiles keeps what its place promises"
            );
            return Ok(());
        }
        let seed = arguments.seed.unwrap_or_else(any_seed);
        screen.heading(&format!("antar-fuzz run, seed {seed}"));
        command.arg("run").args(arguments.targets.iter().filter(|name| *name != TEMPLATES));
        command.args(["--seed", &seed.to_string()]);
        let seconds = arguments.minutes.map(|minutes| minutes * 60);
        let cases = arguments.cases.or(seconds.map(|_| u64::MAX >> 1));
        for (name, value) in
            [("--cases", cases), ("--seconds", seconds), ("--only", arguments.only)]
        {
            command.args(value.iter().flat_map(|value| [name.to_owned(), value.to_string()]));
        }
        must(&mut command)?;
        screen.good("every promise held");
    }
    if arguments.targets.iter().any(|name| name == TEMPLATES) {
        templates(&screen, &root, arguments)?;
    }
    Ok(())
}

fn templates(screen: &Screen, root: &Path, arguments: &Arguments) -> Result<()> {
    if arguments.minutes.is_some() {
        bail!(
            "{TEMPLATES} runs a number of cases: give --cases, about 14,000 a second on two cores"
        );
    }
    screen.heading("cargo run --release -p antar-template --example fuzz");
    let mut command = cargo(root);
    command.args([
        "run",
        "--release",
        "--locked",
        "-p",
        "antar-template",
        "--example",
        "fuzz",
        "--",
    ]);
    for (name, value) in
        [("--cases", arguments.cases), ("--seed", arguments.seed), ("--only", arguments.only)]
    {
        command.args(value.iter().flat_map(|value| [name.to_owned(), value.to_string()]));
    }
    must(&mut command)
}
