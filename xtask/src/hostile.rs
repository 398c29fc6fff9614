//! `cargo xtask hostile`: one tenant attacks the server of another.

use std::process::Command;

use anyhow::Result;

use crate::at_exit::AtExit;
use crate::command::{SHIPPED, TESTED, any_seed, build, must};
use crate::screen::Screen;
use crate::test::{postgres::Postgres, prerequisites};

/// Attack a real server as one tenant, while another tenant's events are delivered, and see whether that one is hurt.
///
/// Phases without and with the attack take turns. The attacker sends random schemas, rules, templates, plugins,
/// forms, bodies and slow connections, all from a seed; --list names the attacks. Shown are the other tenant's times
/// from the post to the receipt, how soon /healthz answers, and the server's memory. An event that was answered with
/// 202 and does not arrive is an error, and so is a server that is not well or has too much memory. The tests run
/// a short form.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Pairs of phases
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long a phase lasts
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Which attacks are made of what [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Only attacks whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// On a PostgreSQL of its own instead of SQLite
    #[arg(long)]
    postgres: bool,
    /// Take the debug build of the server
    #[arg(long)]
    debug: bool,
    /// Print the attacks
    #[arg(long)]
    list: bool,
    /// Passed on to the bench
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (screen, at_exit, root) = (Screen::new(), AtExit::new()?, crate::root());
    let packages = if arguments.debug { &TESTED } else { &SHIPPED };
    let built = build(&root, packages, &["--bin", "antar", "--bin", "antar-delivery-bench"])?;
    let mut command = Command::new(built.join("antar-delivery-bench"));
    command.arg("hostile").arg("--antar").arg(built.join("antar"));
    if arguments.list {
        return must(command.arg("--list"));
    }
    let seed = arguments.seed.unwrap_or_else(any_seed);
    command.args(["--seed", &seed.to_string(), "--rounds", &arguments.rounds.to_string()]);
    command.args(["--seconds", &arguments.seconds.to_string(), "--only", &arguments.only]);
    let mut postgres = None;
    if arguments.postgres {
        let mut say = |text: &str| screen.note(text);
        let started = Postgres::start(&prerequisites::postgres(&mut say)?, &at_exit, &mut say)?;
        command.args(["--database-url", &postgres.insert(started).url]);
    }
    screen.heading(&format!("antar-delivery-bench hostile, seed {seed}"));
    must(command.args(&arguments.rest))?;
    screen.good("the other tenant was not hurt");
    Ok(())
}
