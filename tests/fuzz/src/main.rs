//! `cargo xtask fuzz` and `cargo xtask growth`.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use antar_fuzz::{ALL, Target, allocations, growth, runner, worker};
use anyhow::Context;
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run cases of targets, or of all.
    Run {
        #[arg(value_parser = target)]
        targets: Vec<&'static Target>,
        /// Which cases; the same seed gives the same ones
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many of each target
        #[arg(long, default_value_t = 1_000_000)]
        cases: u64,
        /// Run this one case of the seed
        #[arg(long)]
        only: Option<u64>,
        /// How long for each target
        #[arg(long)]
        seconds: Option<u64>,
        /// How long a case may take, in seconds
        #[arg(long, default_value_t = 20)]
        patience_s: u64,
    },
    /// Print the targets.
    List,
    /// Read one input: a file, or standard input.
    Read {
        #[arg(value_parser = target)]
        target: &'static Target,
        file: Option<PathBuf>,
    },
    /// Compare the work for inputs of 1, 4 and 16 times a size.
    Growth {
        /// Only parts whose name contains this
        #[arg(default_value = "")]
        only: String,
    },
    /// Run cases in this process.
    #[command(hide = true)]
    Worker {
        #[arg(value_parser = target)]
        target: &'static Target,
        #[command(flatten)]
        work: worker::Work,
    },
}

fn target(name: &str) -> Result<&'static Target, String> {
    let known = || ALL.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    antar_fuzz::named(name)
        .ok_or_else(|| format!("there is no target `{name}`; there are {}", known()))
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run { targets, seed, cases, only, seconds, patience_s } => {
            let targets = if targets.is_empty() { ALL.iter().collect() } else { targets };
            println!("seed {seed}");
            runner::run(&runner::Plan { targets, seed, cases, only, seconds, patience_s })
        }
        Command::List => {
            ALL.iter().for_each(|target| println!("{:14} {}", target.name, target.about));
            Ok(())
        }
        Command::Read { target, file } => match input(file) {
            Ok(input) => return worker::read(target, input),
            Err(error) => Err(error),
        },
        Command::Growth { only } => growth::run(&only),
        Command::Worker { target, work } => return worker::run(target, work),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn input(file: Option<PathBuf>) -> anyhow::Result<Vec<u8>> {
    let mut input = Vec::new();
    match file {
        Some(file) => input = std::fs::read(&file).with_context(|| file.display().to_string())?,
        None => drop(std::io::stdin().read_to_end(&mut input)?),
    }
    Ok(input)
}
