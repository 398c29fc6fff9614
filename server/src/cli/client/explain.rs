//! `antar explain`: why an event was delivered to each webhook, or not.

use serde_json::Value as Json;

use super::api::segment;
use super::options::ApiOptions;
use crate::cli::terminal::screen::{BOLD, DIM, GREEN, RED, Screen, YELLOW};

/// Says what became of an event at each webhook, and why.
///
/// For every webhook of the tenant: the state of its delivery, or which of its event types, facets
/// and rule did not want the event, with the path, the condition and the value found.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Id of the event.
    event: String,
    /// Id or name of one webhook. Left out: all of the tenant.
    webhook: Option<String>,
    #[command(flatten)]
    api: ApiOptions,
}

const EXAMPLES: &str = "\
Examples:
  antar explain 0199b1c0-7a3e-7d52-9c55-0d8a0c1f2e3d
  antar explain order-4711 crm-contacts --tenant acme";

pub(crate) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let client = arguments.api.client()?;
    let path = format!(
        "/v1/tenants/{}/events/{}/explain",
        segment(&arguments.api.tenant),
        segment(&arguments.event)
    );
    let rows = client.list(&path).await?;
    let wanted = |row: &&Json| {
        arguments.webhook.as_deref().is_none_or(|w| row["webhook_id"] == w || row["name"] == w)
    };
    let rows: Vec<&Json> = rows.iter().filter(wanted).collect();
    if let Some(webhook) = &arguments.webhook
        && rows.is_empty()
    {
        anyhow::bail!("the tenant {} has no webhook {webhook}", arguments.api.tenant);
    }
    if rows.is_empty() && screen.is_text() {
        screen.line(&format!("the tenant {} has no webhooks", arguments.api.tenant));
    }
    for row in rows {
        if screen.is_text() {
            text(row).iter().for_each(|(style, line)| screen.line(&screen.paint(style, line)));
        } else {
            screen.json(row);
        }
    }
    Ok(())
}

/// A row as lines, each with its style.
fn text(row: &Json) -> Vec<(&'static str, String)> {
    let member = |name: &str| row[name].as_str().unwrap_or_default();
    let outcome = member("outcome");
    let style = match outcome {
        "delivered" => GREEN,
        "failed" => RED,
        "not_wanted" => DIM,
        _ => YELLOW,
    };
    let mut lines = vec![
        (BOLD, member("name").to_owned()),
        (
            style,
            format!("  {} at {}", outcome.replace('_', " "), member("stage").replace('_', " ")),
        ),
    ];
    if !member("reason").is_empty() {
        lines.push(("", format!("  {}", member("reason"))));
    }
    let known = [
        ("path", "at"),
        ("wanted", "wanted"),
        ("found", "found"),
        ("delivery_id", "delivery"),
        ("next_attempt_at", "next attempt"),
    ];
    for (member, label) in known {
        if let Some(text) = row["detail"][member].as_str() {
            lines.push((DIM, format!("  {label:<12} {text}")));
        }
    }
    if let Some(attempts) = row["detail"]["attempts"].as_u64() {
        lines.push((DIM, format!("  {:<12} {attempts}", "attempts")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_readable() {
        let row = serde_json::json!({"webhook_id": "1", "name": "crm", "outcome": "not_wanted",
            "stage": "rule", "reason": "data.inbox is \"Spam\"",
            "detail": {"path": "data.inbox", "wanted": "[\"Sales\"]", "found": "\"Spam\""}});
        let lines: Vec<String> = text(&row).into_iter().map(|(_, line)| line).collect();
        assert_eq!(
            lines,
            [
                "crm",
                "  not wanted at rule",
                "  data.inbox is \"Spam\"",
                "  at           data.inbox",
                "  wanted       [\"Sales\"]",
                "  found        \"Spam\"",
            ]
        );
    }
}
