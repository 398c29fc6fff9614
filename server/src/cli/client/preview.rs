//! `antar preview`: dry run of an event through a webhook's stages.

use antar_json::{Builder, Document};
use bytes::Bytes;
use hyper::Method;
use serde_json::Value as Json;

use super::api::segment;
use super::options::ApiOptions;
use super::{data, request, webhook};
use crate::cli::terminal::screen::{BOLD, DIM, GREEN, RED, Screen, YELLOW};

/// Shows what a webhook would make of an event, stage by stage, and sends nothing.
///
/// Takes an event that is there, one of your own, or the example of the first event type that the
/// webhook takes. Whether the webhook is enabled does not matter.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Id or name of the webhook.
    webhook: String,
    /// Id of an event that is there.
    #[arg(long, value_name = "ID", conflicts_with_all = ["event_type", "data"])]
    event: Option<String>,
    /// Type of the event. Without --data, its example is taken.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// The event's data: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON|@FILE|-", requires = "event_type")]
    data: Option<String>,
    #[command(flatten)]
    api: ApiOptions,
}

const EXAMPLES: &str = "\
Examples:
  antar preview crm-contacts
  antar preview crm-contacts --type contact.created --data @contact.json
  antar preview crm-contacts --event 0199b1c0-7a3e-7d52-9c55-0d8a0c1f2e3d";

pub(crate) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let data = arguments.data.as_deref().map(data::read).transpose()?;
    let client = arguments.api.client()?;
    let tenant = &arguments.api.tenant;
    let found = webhook::find(&client, tenant, &arguments.webhook).await?;
    let asked = arguments.request(found["id"].as_str().unwrap_or_default(), data.as_ref());
    let path = format!("/v1/tenants/{}/preview", segment(tenant));
    let body = Bytes::from(asked.text().to_owned());
    let preview = client.call(Method::POST, &path, "application/json", body).await?;
    if screen.is_text() {
        show(&preview, screen);
    } else {
        screen.json(&preview);
    }
    Ok(())
}

impl Arguments {
    fn request(&self, webhook_id: &str, data: Option<&Document>) -> Document {
        let mut asked = Builder::new();
        asked.object().key("webhook").string(webhook_id);
        if let Some(id) = &self.event {
            asked.key("event").string(id);
        } else if let Some(event_type) = &self.event_type {
            asked.key("event").object().key("type").string(event_type);
            if let Some(data) = data {
                asked.key("data").copy(data.root());
            }
            asked.end();
        }
        asked.end();
        asked.finish()
    }
}

/// Prints stages, request and warnings on a terminal.
fn show(preview: &Json, screen: Screen) {
    for stage in preview["stages"].as_array().into_iter().flatten() {
        screen.line(&stage_line(stage, screen));
        for plugin in stage["detail"]["plugins"].as_array().into_iter().flatten() {
            plugin_lines(plugin).iter().for_each(|line| screen.line(&screen.paint(DIM, line)));
        }
    }
    if preview["request"].is_object() {
        screen.line("");
        for line in request::lines(&preview["request"]) {
            screen.line(&format!("  {line}"));
        }
    }
    notes(preview, screen);
}

/// `render     pass  42 µs  why`
fn stage_line(stage: &Json, screen: Screen) -> String {
    let text = |name: &str| stage[name].as_str().unwrap_or_default();
    let style = match text("outcome") {
        "pass" => GREEN,
        "drop" => YELLOW,
        "fail" => RED,
        _ => DIM,
    };
    let outcome = screen.paint(style, &format!("{:<5}", text("outcome")));
    let took = screen.paint(DIM, &format!("{:>7} µs", stage["took_us"]));
    let name = screen.paint(BOLD, &format!("{:<10}", text("stage")));
    format!("{name} {outcome} {took}  {}", text("reason")).trim_end().to_owned()
}

fn plugin_lines(plugin: &Json) -> Vec<String> {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let head = format!(
        "  {} {} {}",
        text(&plugin["plugin"]),
        text(&plugin["outcome"]),
        text(&plugin["reason"])
    );
    let mut lines = vec![head.trim_end().to_owned()];
    for change in plugin["changes"].as_array().into_iter().flatten() {
        let side =
            |name: &str| change.get(name).map_or_else(|| "nothing".to_owned(), Json::to_string);
        lines.push(format!("    {} {} → {}", text(&change["path"]), side("before"), side("after")));
    }
    for log in plugin["logs"].as_array().into_iter().flatten() {
        lines.push(format!("    {}: {}", text(&log["level"]), text(&log["text"])));
    }
    lines
}

/// Prints unresolved tokens and warnings.
pub(super) fn notes(answer: &Json, screen: Screen) {
    let tokens: Vec<&str> =
        answer["unresolved"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    if !tokens.is_empty() {
        let line = format!("without a value: {}", tokens.join(", "));
        screen.line(&screen.paint(YELLOW, &line));
    }
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        screen.line(&screen.paint(YELLOW, &request::warning(warning)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_a_plugin_are_readable() {
        let plugin = serde_json::json!({"plugin": "redact", "outcome": "replace", "reason": null,
            "changes": [{"op": "replace", "path": "/phone", "before": "1", "after": "•"}, {"op": "add", "path": "/n", "after": 1}],
            "logs": [{"level": "info", "text": "hidden"}]});
        assert_eq!(
            plugin_lines(&plugin),
            [
                "  redact replace",
                "    /phone \"1\" → \"•\"",
                "    /n nothing → 1",
                "    info: hidden"
            ]
        );
    }
}
