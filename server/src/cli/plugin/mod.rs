//! `antar plugin`: creates, builds, tests, inspects and uploads plugins.
//!
//! Commands on a plugin's file (`test`, `run`, `inspect`) use the server's plugin host in this
//! process. `push` and `list` call the API.

mod build;
mod check;
mod conformance;
mod fixture;
mod inspect;
mod lang;
mod list;
mod local;
mod new;
mod odd_inputs;
mod project;
mod push;
mod run;
mod test;

use clap::Subcommand;

use crate::cli::terminal::screen::Screen;

/// Makes, builds, tests, tries and uploads plugins.
///
/// A plugin is a function of yours that runs on events: a filter says pass or drop, a transform
/// returns new data. `build`, `test`, `run` and `push` work on the project that the current folder
/// is in.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
From nothing to a plugin in use:
  antar plugin new vip-only --lang rust --kind filter
  cd vip-only
  antar plugin build
  antar plugin test
  antar plugin push
Then name it in a webhook: `plugins: [{plugin: vip-only, config: {any: [vip]}}]`.";

#[derive(Subcommand)]
enum Command {
    New(new::Arguments),
    Build(build::Arguments),
    Test(test::Arguments),
    Run(run::Arguments),
    Push(push::Arguments),
    List(list::Arguments),
    Inspect(inspect::Arguments),
}

pub(super) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    match arguments.command {
        Command::New(arguments) => new::run(&arguments, screen),
        Command::Build(arguments) => build::run(&arguments, screen),
        Command::Test(arguments) => test::run(arguments, screen).await,
        Command::Run(arguments) => run::run(arguments, screen).await,
        Command::Push(arguments) => push::run(arguments, screen).await,
        Command::List(arguments) => list::run(arguments, screen).await,
        Command::Inspect(arguments) => inspect::run(&arguments, screen).await,
    }
}

/// `12.3 KiB`
fn size(bytes: usize) -> String {
    let kib = bytes as f64 / 1_024.0;
    if kib < 1_024.0 { format!("{kib:.1} KiB") } else { format!("{:.1} MiB", kib / 1_024.0) }
}

/// `850 µs`, `1.2 ms`
fn duration(took_us: u64) -> String {
    if took_us < 1_000 {
        format!("{took_us} µs")
    } else {
        format!("{:.1} ms", took_us as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!((size(512), size(3 << 20)), ("0.5 KiB".to_owned(), "3.0 MiB".to_owned()));
        assert_eq!((duration(850), duration(1_234)), ("850 µs".to_owned(), "1.2 ms".to_owned()));
    }
}
