//! `antar test`: sends a test request as a webhook would.

use antar_json::{Builder, Document};
use anyhow::bail;
use bytes::Bytes;
use hyper::Method;
use serde_json::Value as Json;

use super::api::segment;
use super::options::ApiOptions;
use super::preview::notes;
use super::{data, request, webhook};
use crate::cli::terminal::screen::{BOLD, DIM, GREEN, RED, Screen};

/// Sends one real request as a webhook is saved, and shows what came back.
///
/// Also for a webhook that is disabled. The request carries the profile's test headers; nothing is
/// stored. Exits with 1 when the answer was no success.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Id or name of the webhook.
    webhook: String,
    /// Type of the event. Left out: the first that the webhook takes.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// The event's data: JSON, @FILE, or - for standard input. Left out: the type's example.
    #[arg(long, value_name = "JSON|@FILE|-")]
    data: Option<String>,
    #[command(flatten)]
    api: ApiOptions,
}

const EXAMPLES: &str = "\
Examples:
  antar test crm-contacts
  antar test crm-contacts --type contact.created --data '{\"contact\": {\"email\": \"ann@mail.example\"}}'";

pub(crate) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let asked = arguments.request()?;
    let client = arguments.api.client()?;
    let tenant = &arguments.api.tenant;
    let found = webhook::find(&client, tenant, &arguments.webhook).await?;
    let id = found["id"].as_str().unwrap_or_default();
    let path = format!("/v1/tenants/{}/webhooks/{}/test", segment(tenant), segment(id));
    let body = Bytes::from(asked.text().to_owned());
    let tested = client.call(Method::POST, &path, "application/json", body).await?;
    if screen.is_text() {
        show(&tested, screen);
    } else {
        screen.json(&tested);
    }
    match tested["error"].as_str() {
        Some(error) => bail!("{error}"),
        None => Ok(()),
    }
}

impl Arguments {
    fn request(&self) -> anyhow::Result<Document> {
        let mut asked = Builder::new();
        asked.object();
        if let Some(event_type) = &self.event_type {
            asked.key("event_type").string(event_type);
        }
        if let Some(data) = &self.data {
            asked.key("data").copy(data::read(data)?.root());
        }
        asked.end();
        Ok(asked.finish())
    }
}

fn show(tested: &Json, screen: Screen) {
    if tested["request"].is_object() {
        request::lines(&tested["request"]).iter().for_each(|line| screen.line(line));
        screen.line("");
    }
    let response = &tested["response"];
    if let Some(status) = response["status"].as_u64() {
        let style = if tested["error"].is_null() { GREEN } else { RED };
        let status = screen.paint(style, &status.to_string());
        screen.line(&format!("{} {status}", screen.paint(BOLD, "answered")));
        request::headers_and_body(response).iter().for_each(|line| screen.line(line));
    }
    if let Some(line) = timing(&tested["timing"]) {
        screen.line(&screen.paint(DIM, &line));
    }
    notes(tested, screen);
}

/// `name 1.2 ms, connection 3.4 ms, …`
fn timing(timing: &Json) -> Option<String> {
    let parts = [
        ("name", "dns_us"),
        ("connection", "connect_us"),
        ("TLS", "tls_us"),
        ("first byte", "first_byte_us"),
        ("in all", "total_us"),
    ];
    let part = |(label, member): (&str, &str)| {
        let us = timing[member].as_u64()?;
        Some(format!("{label} {}.{} ms", us / 1_000, us % 1_000 / 100))
    };
    let shown: Vec<String> = parts.into_iter().filter_map(part).collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timing_leaves_out_what_did_not_happen() {
        let shown = timing(
            &serde_json::json!({"dns_us": null, "connect_us": 210, "first_byte_us": 1_950, "total_us": 2_200}),
        );
        assert_eq!(shown.as_deref(), Some("connection 0.2 ms, first byte 1.9 ms, in all 2.2 ms"));
        assert_eq!(timing(&Json::Null), None);
    }
}
