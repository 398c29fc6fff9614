//! `antar rejections`: calls and events that were refused.

use anyhow::bail;
use http::Method;
use serde_json::{Value as Json, json};

use super::api::segment;
use super::options::ApiOptions;
use crate::cli::terminal::screen::{DIM, GREEN, RED, Screen};

/// Lists calls and events that were refused, shows one, or sends one in again.
///
/// They are kept for a day. Once the source, its secrets or the event type are mended, `--retry` takes the call in as
/// if it came now; its sender is not verified again.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Shows this one with what was sent.
    id: Option<String>,
    /// Of the source with this name.
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    source: Option<String>,
    /// Items at most.
    #[arg(long, default_value_t = 20, conflicts_with = "id")]
    limit: usize,
    /// Sends it in again.
    #[arg(long, requires = "id")]
    retry: bool,
    #[command(flatten)]
    api: ApiOptions,
}

const EXAMPLES: &str = "\
Examples:
  antar rejections --source github
  antar rejections 0199a7c1-6f2e-7c34-8f7b-2f3b9d1c0a55
  antar rejections 0199a7c1-6f2e-7c34-8f7b-2f3b9d1c0a55 --retry";

pub(crate) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let client = arguments.api.client()?;
    let tenant = segment(&arguments.api.tenant);
    let base = format!("/v1/tenants/{tenant}/rejections");
    if let Some(id) = &arguments.id {
        let path = format!("{base}/{}", segment(id));
        if arguments.retry {
            client.send(Method::POST, &format!("{path}/retry"), &json!({})).await?;
            if screen.is_text() {
                screen.line(&screen.paint(GREEN, "taken in"));
            } else {
                screen.json(&json!({ "id": id, "retried": true }));
            }
            return Ok(());
        }
        let rejection = client.get(&path).await?;
        if screen.is_text() {
            show(&rejection, screen);
        } else {
            screen.json(&rejection);
        }
        return Ok(());
    }
    let mut path = format!("{base}?limit={}", arguments.limit);
    if let Some(name) = &arguments.source {
        let sources = client.list(&format!("/v1/tenants/{tenant}/sources")).await?;
        let found = sources.iter().find(|source| source["name"] == name.as_str());
        let Some(id) = found.and_then(|source| source["id"].as_str()) else {
            bail!("there is no source `{name}`");
        };
        path.push_str(&format!("&source_id={id}"));
    }
    let page = client.get(&path).await?;
    let rows = page["data"].as_array().cloned().unwrap_or_default();
    for row in &rows {
        if screen.is_text() {
            screen.line(&sentence(row, screen));
        } else {
            screen.json(row);
        }
    }
    if screen.is_text() && rows.is_empty() {
        screen.line("nothing was refused lately");
    }
    Ok(())
}

/// A text that a stranger has sent, without what a terminal takes for a command.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{FFFD}' } else { c };
    text.chars().map(shown).collect()
}

/// One line about a rejection, and its errors.
fn sentence(row: &Json, screen: Screen) -> String {
    let text = |name: &str| plain(row[name].as_str().unwrap_or_default());
    let mut line = format!(
        "{}  {}  {} {}  {}: {}",
        text("id"),
        screen.paint(DIM, &text("rejected_at")),
        text("method"),
        text("path"),
        screen.paint(RED, &text("code")),
        text("reason"),
    );
    for error in row["errors"].as_array().into_iter().flatten() {
        let part = |name: &str| plain(error[name].as_str().unwrap_or_default());
        line.push_str(&format!("\n    {} {}", part("pointer"), part("detail")));
    }
    line
}

fn show(rejection: &Json, screen: Screen) {
    screen.line(&sentence(rejection, screen));
    if let Some(query) = rejection["query"].as_str().filter(|query| !query.is_empty()) {
        screen.line(&format!("  ?{}", plain(query)));
    }
    for (name, value) in rejection["headers"].as_object().into_iter().flatten() {
        screen.line(&plain(&format!("  {name}: {}", value.as_str().unwrap_or_default())));
    }
    let body = rejection["body"].as_str().or_else(|| rejection["body_base64"].as_str());
    screen.line(&plain(body.unwrap_or("(its body is too long to be kept)")));
}
