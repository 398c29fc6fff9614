//! `antar webhook`, and the lookup of a webhook by id or name.

use std::time::Duration;

use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value as Json, json};

use super::api::{Client, segment};
use super::options::ApiOptions;
use crate::cli::terminal::screen::Screen;

/// Interval of polling a webhook that is drained.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Switches a webhook on and off, and deals with all of its deliveries at once.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  antar webhook pause crm-contacts
  antar webhook drain crm-contacts
  antar webhook retry crm-contacts --since 2026-03-10T00:00:00Z
  antar webhook cancel crm-contacts --tenant acme";

#[derive(Subcommand)]
enum Action {
    /// Enables it: what was held goes on.
    Enable(Which),
    /// Disables it: new events are missed, what waits is held.
    Disable(Which),
    /// Pauses it: new deliveries are made and held.
    Pause(Which),
    /// Resumes it: what was held goes on, also to a receiver that gets probes only.
    Resume(Which),
    /// Pauses it and waits until no attempt is under way.
    Drain(Which),
    /// Cancels all that waits.
    Cancel(Which),
    /// Begins failed deliveries anew.
    Retry(Retry),
}

#[derive(clap::Args)]
struct Which {
    /// Id or name of the webhook.
    webhook: String,
    #[command(flatten)]
    api: ApiOptions,
}

#[derive(clap::Args)]
struct Retry {
    #[command(flatten)]
    which: Which,
    /// failed, cancelled, dropped or missed.
    #[arg(long, default_value = "failed")]
    state: String,
    /// Deliveries made at or after: RFC 3339.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Deliveries made before: RFC 3339.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

pub(crate) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    match arguments.action {
        Action::Enable(which) => which.switch("enable", "is enabled", screen).await,
        Action::Disable(which) => which.switch("disable", "is disabled", screen).await,
        Action::Pause(which) => which.switch("pause", "is paused", screen).await,
        Action::Resume(which) => which.switch("resume", "is resumed", screen).await,
        Action::Drain(which) => which.drain(screen).await,
        Action::Cancel(which) => {
            let answer = which.call("cancel", &json!({})).await?;
            let text = format!(
                "{} cancelled, {} when their attempt ends",
                answer["cancelled"], answer["in_flight"]
            );
            say(screen, &answer, &text);
            Ok(())
        }
        Action::Retry(retry) => retry.run(screen).await,
    }
}

fn say(screen: Screen, answer: &Json, text: &str) {
    if screen.is_text() { screen.line(text) } else { screen.json(answer) }
}

impl Which {
    async fn call(&self, action: &str, body: &Json) -> anyhow::Result<Json> {
        let client = self.api.client()?;
        let found = find(&client, &self.api.tenant, &self.webhook).await?;
        let id = found["id"].as_str().unwrap_or_default();
        let tenant = segment(&self.api.tenant);
        let path = format!("/v1/tenants/{tenant}/webhooks/{}/{action}", segment(id));
        Ok(client.send(Method::POST, &path, body).await?)
    }

    async fn switch(self, action: &str, done: &str, screen: Screen) -> anyhow::Result<()> {
        let webhook = self.call(action, &json!({})).await?;
        say(screen, &webhook, &format!("{} {done}", self.webhook));
        Ok(())
    }

    async fn drain(self, screen: Screen) -> anyhow::Result<()> {
        loop {
            let left = self.call("drain", &json!({})).await?;
            if left["in_flight"] == 0 {
                say(screen, &left, &format!("drained; {} wait until it is resumed", left["held"]));
                return Ok(());
            }
            screen.progress(&format!("{} attempts under way", left["in_flight"]));
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

impl Retry {
    async fn run(self, screen: Screen) -> anyhow::Result<()> {
        let mut body = Map::new();
        body.insert("state".to_owned(), self.state.clone().into());
        for (name, time) in [("since", &self.since), ("until", &self.until)] {
            if let Some(time) = time {
                body.insert(name.to_owned(), time.clone().into());
            }
        }
        let body = Json::Object(body);
        let mut retried = 0;
        loop {
            let answer = self.which.call("retry", &body).await?;
            retried += answer["retried"].as_u64().unwrap_or_default();
            if answer["more"] != true {
                let all = json!({"retried": retried});
                say(screen, &all, &format!("{retried} begun anew"));
                return Ok(());
            }
            screen.progress(&format!("{retried} begun anew"));
        }
    }
}

/// Finds the webhook with this id or name.
pub(super) async fn find(client: &Client, tenant: &str, wanted: &str) -> anyhow::Result<Json> {
    let path = format!("/v1/tenants/{}/webhooks", segment(tenant));
    if wanted.parse::<uuid::Uuid>().is_ok()
        && let Some(found) = client.find(&format!("{path}/{wanted}")).await?
    {
        return Ok(found);
    }
    let all = client.list(&path).await?;
    let found = all.into_iter().find(|webhook| webhook["name"] == wanted);
    found.ok_or_else(|| anyhow::anyhow!("the tenant {tenant} has no webhook {wanted}"))
}
