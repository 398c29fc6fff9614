//! `cargo xtask crash`: the real server, killed under load as often as one likes.

use anyhow::Result;

use crate::at_exit::AtExit;
use crate::command::{any_seed, cargo, must, target};
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
    let profile = if arguments.debug { "dev" } else { "release" };
    screen.heading(&format!("the server, profile {profile}"));
    let mut build = cargo(&root);
    must(build.args(["build", "--locked", "--profile", profile, "-p", "antar", "--bin", "antar"]))?;
    let folder = if arguments.debug { "debug" } else { "release" };
    let binary = std::path::absolute(target(&root).join(folder).join("antar"))?;
    let seed = arguments.seed.unwrap_or_else(any_seed);
    for (kind, name, nodes) in
        [(Kind::Sqlite, "sqlite", 1), (Kind::Postgres, "postgres", arguments.nodes)]
    {
        if arguments.database.is_some_and(|wanted| wanted != kind) {
            continue;
        }
        let rounds = arguments.rounds;
        screen.heading(&format!("{name}: {nodes} node(s), {rounds} rounds, seed {seed}"));
        let mut command = cargo(&root);
        command.args(["run", "--locked", "-p", "antar-harness", "--example", "crash", "--", name]);
        command.args([rounds.to_string(), seed.to_string(), nodes.to_string()]);
        command.env("ANTAR_BIN", &binary);
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
