//! The command line: one module for each subcommand. Commands that change a running server use its
//! HTTP API; only `serve` and `migrate` open the data folder.
//!
//! Output is prose on a terminal, and one JSON object a line in a pipe. Exit codes: 0 success, 1
//! failure, 2 wrong usage.

mod apply;
mod client;
mod offline;
mod plugin;
mod receive;
mod serve;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[doc(hidden)]
pub use self::apply::check_manifest;
use self::client::{explain, listen, preview, rejections, replay, send, test, webhook};
use self::offline::{config, migrate};
use self::terminal::screen::{Format, Screen};
use self::terminal::usage::Usage;

/// Antar takes events in, and delivers them as webhooks: routed by rules, shaped by templates and
/// plugins, signed, and tried again until they arrive.
#[derive(Parser)]
#[command(name = "antar", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    /// Prose or JSON lines. Left out: prose on a terminal, JSON lines in a pipe.
    #[arg(long, global = true, value_name = "FORMAT")]
    format: Option<Format>,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
A first round, in three terminals:
  antar serve --dev
  antar receive
  export ANTAR_KEY=$(cat antar-data/operator.key)
  antar apply -f webhook.yaml
  antar send conversation.created --data '{\"conversation\": {\"id\": \"abc-123\"}}'

Commands that call the API read ANTAR_URL, ANTAR_KEY and ANTAR_TENANT.
Exit codes: 0 it worked, 1 it did not, 2 it was called wrongly.";

#[derive(Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Apply(apply::Arguments),
    Send(send::Arguments),
    Receive(receive::Arguments),
    Preview(preview::Arguments),
    Test(test::Arguments),
    Explain(explain::Arguments),
    Replay(replay::Arguments),
    Rejections(rejections::Arguments),
    Webhook(webhook::Arguments),
    Listen(listen::Arguments),
    Plugin(plugin::Arguments),
    Migrate(migrate::Arguments),
    Config(config::Arguments),
}

/// Parses the arguments, runs the command, and reports its error.
pub async fn main() -> ExitCode {
    let cli = Cli::parse();
    let screen = Screen::new(cli.format);
    let result = match cli.command {
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Apply(arguments) => apply::run(arguments, screen).await,
        Command::Send(arguments) => send::run(arguments, screen).await,
        Command::Receive(arguments) => receive::run(arguments, screen).await,
        Command::Preview(arguments) => preview::run(arguments, screen).await,
        Command::Test(arguments) => test::run(arguments, screen).await,
        Command::Explain(arguments) => explain::run(arguments, screen).await,
        Command::Replay(arguments) => replay::run(arguments, screen).await,
        Command::Rejections(arguments) => rejections::run(arguments, screen).await,
        Command::Webhook(arguments) => webhook::run(arguments, screen).await,
        Command::Listen(arguments) => listen::run(arguments, screen).await,
        Command::Plugin(arguments) => plugin::run(arguments, screen).await,
        Command::Migrate(arguments) => migrate::run(arguments, screen).await,
        Command::Config(arguments) => config::run(&arguments, screen),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.error(&error);
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_says_what_it_does_with_an_example() {
        use clap::CommandFactory;
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains(&format!("antar {name}")), "{name} shows no example");
        }
    }
}
