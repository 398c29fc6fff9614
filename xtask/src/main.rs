//! `cargo xtask`: the tasks of developers and CI on this repository, one command each.
//!
//! Every command announces each step, and names the fix when something is missing.

mod at_exit;
mod bench;
mod command;
mod crash;
mod demo;
mod fuzz;
mod growth;
mod guests;
mod hostile;
mod plugins;
mod screen;
mod simulate;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What one does with this repository.
///
/// A fresh Debian with rustup is enough to begin: whatever else is needed is named, with the
/// command that brings it, or installed where that is possible without a question.
#[derive(Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    version,
    after_help = "\
Start here:
  cargo xtask demo          see five platforms' webhooks arrive
  cargo xtask test          everything CI checks, in CI's order
  cargo xtask test --list   its steps; --only STEP runs one of them"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Test(test::Arguments),
    Demo(demo::Arguments),
    Plugins(plugins::Arguments),
    Bench(bench::Arguments),
    Fuzz(fuzz::Arguments),
    Growth(growth::Arguments),
    Hostile(hostile::Arguments),
    Crash(crash::Arguments),
    Simulate(simulate::Arguments),
}

fn main() -> ExitCode {
    if let Some(code) = growth::as_compiler() {
        return code;
    }
    let result = match Arguments::parse().command {
        Command::Test(arguments) => test::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Plugins(arguments) => plugins::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Growth(arguments) => growth::run(&arguments),
        Command::Hostile(arguments) => hostile::run(&arguments),
        Command::Crash(arguments) => crash::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's root: the folder above this crate.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
