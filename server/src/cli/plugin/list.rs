//! `antar plugin list`: lists a tenant's plugins.

use serde_json::Value as Json;

use super::size;
use crate::cli::client::api::segment;
use crate::cli::client::options::ApiOptions;
use crate::cli::terminal::screen::{BOLD, DIM, Screen};

/// Lists a tenant's plugins, each with its newest version.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    api: ApiOptions,
}

const EXAMPLES: &str = "\
Examples:
  antar plugin list
  antar plugin list --tenant acme --format json";

pub(super) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let client = arguments.api.client()?;
    let tenant = &arguments.api.tenant;
    let rows = client.list(&format!("/v1/tenants/{}/plugins", segment(tenant))).await?;
    if rows.is_empty() && screen.is_text() {
        screen
            .line(&format!("the tenant {tenant} has no plugins; `antar plugin push` uploads one"));
    }
    for row in &rows {
        if screen.is_text() {
            screen.line(&sentence(row, screen));
        } else {
            screen.json(row);
        }
    }
    Ok(())
}

fn sentence(row: &Json, screen: Screen) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let bytes = row["size_bytes"].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
    let name = format!("{}@{}", text("name"), row["version"]);
    let state = match text("state") {
        "" | "ready" => String::new(),
        other => format!(" ({other})"),
    };
    let about = text("description").lines().next().unwrap_or_default();
    format!(
        "{} {:9} {:>10}{state}  {}",
        screen.paint(BOLD, &format!("{name:28}")),
        text("kind"),
        size(bytes.unwrap_or_default()),
        screen.paint(DIM, about)
    )
}
