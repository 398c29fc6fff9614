//! `antar replay`: sends old events to a webhook again.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use http::Method;
use serde_json::{Map, Value as Json, json};

use super::api::{CallError, Client, segment};
use super::options::ApiOptions;
use super::{request, webhook};
use crate::cli::terminal::screen::{BOLD, DIM, GREEN, RED, Screen, YELLOW};
use crate::cli::terminal::usage::Usage;

/// Interval of polling a replay's progress.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Sends old events to a webhook again.
///
/// It first says how many events that are and shows three of them as they would be sent, and asks;
/// where nobody can answer, --yes must say so. Then it shows how far it is. Ctrl-C stops the replay;
/// what it made by then goes on.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Id or name of the webhook.
    webhook: String,
    /// Events that came while the webhook was disabled.
    #[arg(long, conflicts_with_all = ["state", "events", "event"])]
    missed: bool,
    /// The webhook's deliveries in this state: failed, dropped, cancelled, delivered, pending.
    #[arg(long, conflicts_with_all = ["events", "event"])]
    state: Option<String>,
    /// The tenant's events that the webhook wants today: all of a period, or the new ones, which
    /// never had a delivery to it. With --since.
    #[arg(long, value_name = "all|new", value_parser = ["all", "new"], conflicts_with = "event")]
    events: Option<String>,
    /// An event by its id. May be repeated.
    #[arg(long, value_name = "ID")]
    event: Vec<String>,
    /// Deliveries made, or events accepted, at or after: RFC 3339.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Deliveries made, or events accepted, before: RFC 3339.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only this type; `a.*` for one or more further segments. May be repeated.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Vec<String>,
    /// Only events with this attributes.subject.
    #[arg(long)]
    subject: Option<String>,
    /// Only events that match this event pattern.
    #[arg(long, value_name = "JSON")]
    rule: Option<String>,
    /// New deliveries in a second.
    #[arg(long, value_name = "N")]
    per_s: Option<u32>,
    /// Begins without asking.
    #[arg(long)]
    yes: bool,
    /// Shows what would be sent, and ends.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    #[command(flatten)]
    api: ApiOptions,
}

const EXAMPLES: &str = "\
Examples:
  antar replay crm-contacts --missed
  antar replay crm-contacts --state failed --since 2026-03-10T00:00:00Z --yes
  antar replay crm-contacts --events new --since 2026-03-03T00:00:00Z --type 'contact.*' --per-s 20";

pub(crate) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let mut request = arguments.request()?;
    let client = arguments.api.client()?;
    let tenant = &arguments.api.tenant;
    let found = webhook::find(&client, tenant, &arguments.webhook).await?;
    let id = found["id"].as_str().unwrap_or_default();
    let path = format!("/v1/tenants/{}/webhooks/{}/replay", segment(tenant), segment(id));
    let mut asked = request.clone();
    asked.insert("dry_run".to_owned(), true.into());
    let plan = client.send(Method::POST, &path, &Json::Object(asked)).await?;
    show_plan(&plan, screen);
    if arguments.dry_run || plan["count"] == 0 {
        return Ok(());
    }
    if !arguments.yes && !agreed(&plan, &found, screen)? {
        return Ok(());
    }
    request.remove("dry_run");
    let started = client.send(Method::POST, &path, &Json::Object(request)).await?;
    let id = started["id"].as_str().unwrap_or_default();
    let path = format!("/v1/tenants/{}/replays/{}", segment(tenant), segment(id));
    let ended = follow(&client, &path, started, screen).await?;
    match ended["state"].as_str() {
        Some("failed") => bail!("the replay failed: {}", ended["error"].as_str().unwrap_or("")),
        _ => Ok(()),
    }
}

impl Arguments {
    fn request(&self) -> anyhow::Result<Map<String, Json>> {
        let mut request = Map::new();
        let texts = [
            ("state", &self.state),
            ("events", &self.events),
            ("since", &self.since),
            ("until", &self.until),
            ("subject", &self.subject),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                request.insert(name.to_owned(), value.as_str().into());
            }
        }
        if self.missed {
            request.insert("only".to_owned(), "missed".into());
        }
        if !self.event.is_empty() {
            request.insert("event_ids".to_owned(), json!(self.event));
        }
        if request.is_empty() {
            return Err(Usage::error(
                "say what to replay: --missed, --state, --events, --event or --since",
            ));
        }
        if !self.event_type.is_empty() {
            request.insert("event_types".to_owned(), json!(self.event_type));
        }
        if let Some(rule) = &self.rule {
            let rule: Json = serde_json::from_str(rule)
                .map_err(|error| Usage::error(format!("--rule is no JSON: {error}")))?;
            request.insert("rule".to_owned(), rule);
        }
        if let Some(per_s) = self.per_s {
            request.insert("pace_per_s".to_owned(), per_s.into());
        }
        Ok(request)
    }
}

/// `300 events`, `more than 100000 events`
fn events(plan: &Json) -> String {
    let more = if plan["exact"] == false { "more than " } else { "" };
    match plan["count"].as_u64() {
        Some(1) if more.is_empty() => "1 event".to_owned(),
        count => format!("{more}{} events", count.unwrap_or_default()),
    }
}

fn show_plan(plan: &Json, screen: Screen) {
    if !screen.is_text() {
        let mut plan = plan.clone();
        plan["kind"] = "plan".into();
        return screen.json(&plan);
    }
    screen.line(&screen.paint(BOLD, &events(plan)));
    for sample in plan["samples"].as_array().into_iter().flatten() {
        let text = |name: &str| sample[name].as_str().unwrap_or_default().to_owned();
        screen.line("");
        screen.line(&format!(
            "{} {}",
            screen.paint(BOLD, &text("event_type")),
            screen.paint(DIM, &text("event_id"))
        ));
        for line in rendered(&sample["preview"]) {
            screen.line(&format!("  {line}"));
        }
    }
    if plan["samples"].get(0).is_some() {
        screen.line("");
    }
}

/// The rendered request, or why there is none.
fn rendered(preview: &Json) -> Vec<String> {
    let request = &preview["request"];
    if request.is_object() {
        return request::lines(request);
    }
    let stages = preview["stages"].as_array().into_iter().flatten();
    let mut stopped =
        stages.filter(|stage| matches!(stage["outcome"].as_str(), Some("drop" | "fail")));
    let stage = stopped.next().unwrap_or(&Json::Null);
    let text = |name: &str| stage[name].as_str().unwrap_or_default();
    vec![format!("no request: {} at {}: {}", text("outcome"), text("stage"), text("reason"))]
}

/// Asks the user to confirm.
fn agreed(plan: &Json, webhook: &Json, screen: Screen) -> anyhow::Result<bool> {
    if !screen.can_ask() {
        return Err(Usage::error("nobody is there to ask: --yes begins, --dry-run only shows"));
    }
    let name = webhook["name"].as_str().unwrap_or_default();
    print!("send {} to {name} again? [y/N] ", events(plan));
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Shows progress until the replay ends; Ctrl-C stops the replay.
async fn follow(
    client: &Client,
    path: &str,
    mut replay: Json,
    screen: Screen,
) -> anyhow::Result<Json> {
    let mut shown = Json::Null;
    let mut stopping = std::pin::pin!(tokio::signal::ctrl_c());
    while replay["state"] == "running" {
        if shown != replay["made"] {
            shown = replay["made"].clone();
            show_progress(&replay, screen);
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_EVERY) => {}
            _ = &mut stopping => {
                match client.send(Method::POST, &format!("{path}/stop"), &json!({})).await {
                    // The replay has ended meanwhile.
                    Err(CallError::Problem(problem)) if problem.status == 409 => {}
                    stopped => drop(stopped?),
                }
                replay = client.get(path).await?;
                break;
            }
        }
        replay = client.get(path).await?;
    }
    show_end(&replay, !shown.is_null(), screen);
    Ok(replay)
}

fn show_progress(replay: &Json, screen: Screen) {
    if screen.is_text() {
        let more = if replay["exact"] == false { "more than " } else { "" };
        screen
            .progress(&format!("{} of {more}{}; ctrl-c stops it", replay["made"], replay["total"]));
    } else {
        screen.json(replay);
    }
}

fn show_end(replay: &Json, below_progress: bool, screen: Screen) {
    if !screen.is_text() {
        return screen.json(replay);
    }
    if below_progress {
        screen.progress("");
    }
    let state = replay["state"].as_str().unwrap_or_default();
    let style = match state {
        "done" => GREEN,
        "failed" => RED,
        _ => YELLOW,
    };
    let made = match replay["made"].as_u64() {
        Some(1) => "1 delivery was made".to_owned(),
        count => format!("{} deliveries were made", count.unwrap_or_default()),
    };
    screen.line(&format!("{}: {made}", screen.paint(style, state)));
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn request(words: &[&str]) -> anyhow::Result<Json> {
        let words = ["replay", "crm"].iter().chain(words);
        Ok(Json::Object(Line::try_parse_from(words)?.arguments.request()?))
    }

    #[test]
    fn flags_become_a_request() {
        assert_eq!(request(&["--missed"]).unwrap(), json!({"only": "missed"}));
        let words =
            ["--event", "a", "--event", "b", "--type", "a.*", "--rule", r#"{"data": {"n": [1]}}"#];
        let expected =
            json!({"event_ids": ["a", "b"], "event_types": ["a.*"], "rule": {"data": {"n": [1]}}});
        assert_eq!(request(&words).unwrap(), expected);
        let words = ["--events", "new", "--since", "2026-03-10T00:00:00Z", "--per-s", "5"];
        let expected = json!({"events": "new", "since": "2026-03-10T00:00:00Z", "pace_per_s": 5});
        assert_eq!(request(&words).unwrap(), expected);
        for bad in
            [&["--type", "a"][..], &["--missed", "--event", "a"], &["--missed", "--rule", "{"]]
        {
            assert!(request(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_would_not_be_sent_says_why() {
        let preview = json!({"request": null, "stages": [{"stage": "route", "outcome": "pass"},
            {"stage": "render", "outcome": "fail", "reason": "`/url` is empty"}]});
        assert_eq!(rendered(&preview), ["no request: fail at render: `/url` is empty"]);
        let preview = json!({"request": {"method": "PUT", "url": "http://x/", "headers": {"a": "b"}, "body": "1\n2"}});
        assert_eq!(rendered(&preview), ["PUT http://x/", "a: b", "1", "2"]);
        assert_eq!(events(&json!({"count": 7, "exact": false})), "more than 7 events");
    }
}
