//! `antar listen`: prints and forwards delivery attempts as they happen.

use std::time::Duration;

use anyhow::bail;
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};

use super::api::{CallError, Client, segment};
use super::forward::{Forwarded, Target};
use super::options::ApiOptions;
use super::sse::{Event, Reader};
use super::webhook;
use crate::cli::terminal::screen::{BOLD, DIM, GREEN, RED, Screen, YELLOW};

/// Backoff between attempts to reconnect: from the first, doubled, to the last.
const AWAY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// The server sends a heartbeat every 15 seconds; a stream that is silent for longer is dead.
const SILENT_MAX: Duration = Duration::from_secs(45);

/// Prints deliveries as they are attempted, and can forward them to this machine.
///
/// Every attempt of the tenant from now on: when, the type, the webhook, the request, what came back.
/// With --forward the same request goes to a local address as well, whatever its webhook's receiver
/// answered: method, headers with their signatures, and body. Headers that hold secrets are not
/// recorded, and so left out, which is said. What a local address answers changes nothing.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Id or name of one webhook. Left out: all of the tenant.
    #[arg(long, value_name = "ID|NAME")]
    webhook: Option<String>,
    /// Only events of this type; `a.*` for one or more further segments.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Where each request is sent once more.
    #[arg(long, value_name = "URL")]
    forward: Option<String>,
    /// JSON lines also on a terminal; the same as --format json.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiOptions,
}

const EXAMPLES: &str = "\
Examples:
  antar listen
  antar listen --webhook crm-contacts --type 'contact.*'
  antar listen --forward http://127.0.0.1:3000/hooks";

struct Listening {
    screen: Screen,
    target: Option<Target>,
    client: Client,
    tenant: String,
}

pub(crate) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let screen = if arguments.json { Screen::lines() } else { screen };
    let client = arguments.api.client()?;
    let target = arguments.forward.as_deref().map(Target::new).transpose()?;
    let path = arguments.path(&client).await?;
    let listening = Listening { screen, target, client, tenant: arguments.api.tenant };
    let mut wait = AWAY.0;
    loop {
        let why = match listening.client.stream(&path).await {
            Ok(body) => {
                wait = AWAY.0;
                listening.began();
                listening.follow(body).await?
            }
            // Repeating the request would not help.
            Err(CallError::Problem(problem)) if problem.status < 500 => {
                return Err(CallError::Problem(problem).into());
            }
            Err(error) => error.to_string(),
        };
        listening.interrupted(&why, wait);
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(AWAY.1);
    }
}

impl Arguments {
    async fn path(&self, client: &Client) -> anyhow::Result<String> {
        let tenant = &self.api.tenant;
        let mut query = Vec::new();
        if let Some(wanted) = &self.webhook {
            let found = webhook::find(client, tenant, wanted).await?;
            let Some(id) = found["id"].as_str() else { bail!("the webhook has no id") };
            query.push(format!("webhook_id={id}"));
        }
        query.extend(self.event_type.as_deref().map(|t| format!("event_type={}", segment(t))));
        let path = format!("/v1/tenants/{}/deliveries/stream", segment(tenant));
        Ok(if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) })
    }
}

impl Listening {
    fn began(&self) {
        if self.screen.is_text() {
            self.screen.line(&self.screen.paint(DIM, "listening; ctrl-c ends it"));
        } else {
            self.screen.json(&json!({"kind": "listening"}));
        }
    }

    fn interrupted(&self, why: &str, wait: Duration) {
        if self.screen.is_text() {
            let text = format!("{why}; trying again in {:.1} s", wait.as_secs_f64());
            self.screen.line(&self.screen.paint(YELLOW, &text));
        } else {
            self.screen.json(&json!({"kind": "interrupted", "reason": why}));
        }
    }

    /// Prints events until the stream ends, and returns the reason.
    async fn follow(&self, mut body: hyper::body::Incoming) -> anyhow::Result<String> {
        let mut reader = Reader::default();
        loop {
            let frame = match tokio::time::timeout(SILENT_MAX, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Ok(format!("the stream broke: {error}")),
                Ok(None) => return Ok("the server ended the stream".to_owned()),
                Err(_) => return Ok("the stream is silent".to_owned()),
            };
            let Some(bytes) = frame.data_ref() else { continue };
            for event in reader.push(bytes)? {
                self.show(&event).await?;
            }
        }
    }

    async fn show(&self, event: &Event) -> anyhow::Result<()> {
        let Ok(mut data) = serde_json::from_str::<Json>(&event.data) else { return Ok(()) };
        match event.name.as_str() {
            "attempt" => {
                let is_whole = self.target.is_none() || self.complete(&mut data).await;
                let sent = &data["attempt"]["request"];
                let forwarded = match &self.target {
                    Some(target) if sent.is_object() && is_whole => {
                        Some((target, target.send(sent).await?))
                    }
                    _ => None,
                };
                if !self.screen.is_text() {
                    data["kind"] = "attempt".into();
                    if let Some((target, forwarded)) = forwarded {
                        data["forwarded"] = forwarded.json(target);
                    }
                    self.screen.json(&data);
                    return Ok(());
                }
                self.screen.line(&line(&data, self.screen));
                if let Some((_, forwarded)) = forwarded {
                    self.forwarded(&forwarded);
                }
            }
            "lagged" if self.screen.is_text() => {
                let text = format!("{} attempts came too fast to be shown", data["lost"]);
                self.screen.line(&self.screen.paint(YELLOW, &text));
            }
            "lagged" => self.screen.json(&json!({"kind": "lagged", "lost": data["lost"]})),
            "ended" if self.screen.is_text() => {
                let text = data["reason"].as_str().unwrap_or("the server ended the stream");
                self.screen.line(&self.screen.paint(YELLOW, text));
            }
            "ended" => self.screen.json(&json!({"kind": "ended", "reason": data["reason"]})),
            _ => {}
        }
        Ok(())
    }

    fn note(&self, text: &str) {
        if self.screen.is_text() {
            self.screen.line(&self.screen.paint(YELLOW, text));
        } else {
            self.screen.json(&json!({"kind": "note", "text": text}));
        }
    }

    /// Reads what the stream left out as too long from the delivery's attempts. False: it is not there.
    async fn complete(&self, data: &mut Json) -> bool {
        if data["left_out"].as_array().is_none_or(Vec::is_empty) {
            return true;
        }
        let id = data["delivery"]["id"].as_str().unwrap_or_default();
        let tenant = segment(&self.tenant);
        let path = format!("/v1/tenants/{tenant}/deliveries/{}/attempts", segment(id));
        let number = data["delivery"]["attempts"].clone();
        let why = match self.client.list(&path).await {
            Ok(attempts) => {
                let whole = attempts.into_iter().find(|attempt| attempt["number"] == number);
                if let Some(whole) = whole {
                    data["attempt"] = whole;
                    data["left_out"] = json!([]);
                    return true;
                }
                "its delivery has no such attempt any more".to_owned()
            }
            Err(error) => error.to_string(),
        };
        self.note(&format!("not forwarded, for its body can't be read: {why}"));
        false
    }

    fn forwarded(&self, forwarded: &Forwarded) {
        let answer = match (forwarded.status, &forwarded.error) {
            (Some(status), _) => coloured(status.into(), self.screen),
            (None, error) => self.screen.paint(RED, error.as_deref().unwrap_or("no answer")),
        };
        self.screen.line(&format!("  forwarded: {answer}, {} ms", forwarded.took_ms));
        for note in forwarded.notes() {
            self.screen.line(&self.screen.paint(DIM, &format!("  {note}")));
        }
    }
}

fn coloured(status: u64, screen: Screen) -> String {
    screen.paint(if (200..300).contains(&status) { GREEN } else { RED }, &status.to_string())
}

/// `12:00:00.123 contact.created crm POST https://crm.example/ 200, 12 ms`
fn line(data: &Json, screen: Screen) -> String {
    let (attempt, delivery) = (&data["attempt"], &data["delivery"]);
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let started_at = text(&attempt["started_at"]);
    let time = started_at.split('T').nth(1).unwrap_or("--:--:--").trim_end_matches('Z');
    let mut parts = vec![
        screen.paint(DIM, time),
        screen.paint(BOLD, &text(&data["event_type"])),
        text(&data["webhook"]),
    ];
    let sent = &attempt["request"];
    if sent.is_object() {
        parts.push(format!("{} {}", text(&sent["method"]), text(&sent["url"])));
    }
    let answer = match (attempt["response"]["status"].as_u64(), attempt["error"].as_str()) {
        (Some(status), None) => coloured(status, screen),
        (Some(status), Some(error)) => {
            format!("{} {}", coloured(status, screen), screen.paint(RED, error))
        }
        (None, Some(error)) => screen.paint(RED, error),
        (None, None) => {
            let state = format!("{} {}", text(&delivery["state"]), text(&delivery["reason"]));
            screen.paint(YELLOW, state.trim())
        }
    };
    parts.push(answer);
    let mut line = parts.join(" ");
    if let Some(took_ms) = attempt["took_ms"].as_u64() {
        line.push_str(&format!(", {took_ms} ms"));
    }
    if let Some(number) = attempt["number"].as_u64().filter(|number| *number > 1) {
        line.push_str(&format!(", attempt {number}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_one_line() {
        let screen = Screen::lines();
        let mut data = json!({"event_type": "a.b", "webhook": "crm", "delivery": {"state": "delivered"},
            "attempt": {"number": 1, "started_at": "2026-03-10T12:00:00.123Z", "took_ms": 12, "error": null,
                "request": {"method": "POST", "url": "http://x/"}, "response": {"status": 200}}});
        assert_eq!(line(&data, screen), "12:00:00.123 a.b crm POST http://x/ 200, 12 ms");
        data["attempt"]["error"] = "status 500".into();
        data["attempt"]["response"]["status"] = 500.into();
        data["attempt"]["number"] = 3.into();
        let failed = "12:00:00.123 a.b crm POST http://x/ 500 status 500, 12 ms, attempt 3";
        assert_eq!(line(&data, screen), failed);
        let dropped = json!({"event_type": "a.b", "webhook": "crm", "attempt": null,
            "delivery": {"state": "dropped", "reason": "no label"}});
        assert_eq!(line(&dropped, screen), "--:--:-- a.b crm dropped no label");
    }
}
