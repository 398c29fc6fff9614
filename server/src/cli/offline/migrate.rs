//! `antar migrate`: applies database migrations while the server is stopped.

use anyhow::Context;
use serde_json::json;

use super::options::{ServerOptions, environment};
use crate::cli::terminal::screen::Screen;
use crate::data_folder::DataFolder;
use crate::store::{Settings, Store};

/// Applies database migrations, with the server stopped.
///
/// `antar serve` applies them by itself, unless `server.migrate` is off. On PostgreSQL, with
/// several servers, this is the way to bring the tables up to date before the first new one starts.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: ServerOptions,
    /// Only name what would be applied.
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  antar migrate --dry-run
  antar migrate --data-dir /var/lib/antar
  antar migrate --database-url postgres://antar:PASSWORD@db/antar";

pub(crate) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let config = arguments.options.load(&[], environment())?;
    // Held until the end, so that no server runs at the same time.
    let folder = DataFolder::open(&config.server)?;
    let settings = Settings {
        url: folder.database_url().to_owned(),
        busy_timeout_ms: config.store.busy_timeout_ms,
        ..Settings::default()
    };
    let store = Store::connect(&settings).await.context("the database can't be opened")?;
    let names =
        if arguments.dry_run { store.pending_migrations().await? } else { store.migrate().await? };
    store.close().await;
    let outcome = if arguments.dry_run { "pending" } else { "applied" };
    for name in &names {
        if screen.is_text() {
            screen.line(&format!("{outcome} {name}"));
        } else {
            screen.json(&json!({"kind": "migration", "name": name, "outcome": outcome}));
        }
    }
    if names.is_empty() && screen.is_text() {
        screen.line("the tables are up to date");
    }
    Ok(())
}
