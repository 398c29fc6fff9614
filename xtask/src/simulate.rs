//! `cargo xtask simulate`: simulated nodes, for as many steps as requested.

use std::process::Command;

use anyhow::Result;

use crate::command::{SIMULATED, any_seed, build, must};
use crate::screen::Screen;

/// Run three nodes in a simulated world, and check what must hold at every request.
///
/// The real scheduler, leases, retries, limits and statements run on one thread, on a clock, a
/// network and a database whose time is made up. Nodes crash and stall, the database is gone for a
/// while, receivers fail, hang and complain, all drawn from a seed. The tests run a short form.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Steps of 5 simulated milliseconds, in each of which every node goes on
    #[arg(long, default_value_t = 1_000_000)]
    steps: u64,
    /// Whose misfortunes [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds, from the first one on
    #[arg(long, default_value_t = 1)]
    seeds: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (screen, root) = (Screen::new(), crate::root());
    let first = arguments.seed.unwrap_or_else(any_seed);
    let built = build(&root, &SIMULATED, &["--example", "simulate"])?;
    for seed in first..first.saturating_add(arguments.seeds) {
        screen.heading(&format!("{} steps, seed {seed}", arguments.steps));
        let mut command = Command::new(built.join("examples/simulate"));
        must(command.args([seed.to_string(), arguments.steps.to_string()]))?;
    }
    screen.good("every promise held");
    Ok(())
}
