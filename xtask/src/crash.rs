//! `cargo xtask crash`: kills the real server under load, for as many rounds as requested.

use std::process::Command;

use anyhow::Result;

use crate::at_exit::AtExit;
use crate::command::{SHIPPED, TESTED, any_seed, build, must};
use crate::screen::Screen;
use crate::test::{postgres::Postgres, prerequisites};

/// Kill the server under load, again and again, and check what it promises.
///
/// Every other round a node is killed with `kill -9` at a random moment; in the rounds between it
/// ends at one of the named fault points, all of them in turn. What was answered with 202 must
/// arrive, what comes again must carry its id and bytes, and order is kept where a webhook asks for
/// it. The tests run a short form.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many times a node is ended, on each database
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Whose kills; the same seed chooses the same ones [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// One database [default: both]
    #[arg(long)]
    database: Option<Kind>,
    /// Nodes on PostgreSQL; SQLite has one
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Take the debug build of the server
    #[arg(long)]
    debug: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Sqlite,
    Postgres,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (screen, at_exit, root) = (Screen::new(), AtExit::new()?, crate::root());
    screen.heading("the server, and what kills it");
    let tested = build(&root, &TESTED, &["--bin", "antar", "--example", "crash"])?;
    let server =
        if arguments.debug { tested.clone() } else { build(&root, &SHIPPED, &["--bin", "antar"])? };
    let seed = arguments.seed.unwrap_or_else(any_seed);
    for (kind, name, nodes) in
        [(Kind::Sqlite, "sqlite", 1), (Kind::Postgres, "postgres", arguments.nodes)]
    {
        if arguments.database.is_some_and(|wanted| wanted != kind) {
            continue;
        }
        let rounds = arguments.rounds;
        screen.heading(&format!("{name}: {nodes} node(s), {rounds} rounds, seed {seed}"));
        let mut command = Command::new(tested.join("examples/crash"));
        command.arg(name).args([rounds.to_string(), seed.to_string(), nodes.to_string()]);
        command.env("ANTAR_BIN", server.join("antar"));
        if kind == Kind::Postgres && std::env::var_os("ANTAR_TEST_DATABASE_URL").is_none() {
            let mut say = |text: &str| screen.note(text);
            let binaries = prerequisites::postgres(&mut say)?;
            let postgres = Postgres::start(&binaries, &at_exit, &mut say)?;
            command.env("ANTAR_TEST_DATABASE_URL", postgres.url);
        }
        must(&mut command)?;
        screen.good(&format!("{name}: nothing was lost"));
    }
    Ok(())
}
