//! `antar send`: posts events.

use std::path::PathBuf;

use antar_json::{Builder, Document, Kind};
use anyhow::{Context, bail};
use http::Method;
use serde_json::Value as Json;

use super::api::{Problem, segment};
use super::data;
use super::options::ApiOptions;
use crate::cli::terminal::screen::{GREEN, RED, Screen, YELLOW};
use crate::cli::terminal::usage::Usage;

/// Posts an event, or a file of events.
///
/// It returns once the events are durable. Numbers and the order of keys arrive as written.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Type of the event, such as conversation.created.
    #[arg(value_name = "TYPE", required_unless_present = "file")]
    event_type: Option<String>,
    /// The event's data: a JSON object, @FILE, or - for standard input. Left out: {}.
    #[arg(long, value_name = "JSON|@FILE|-", conflicts_with = "file")]
    data: Option<String>,
    /// Unique id; the same id again makes no second event. Left out: a new one.
    #[arg(long, conflicts_with = "file")]
    id: Option<String>,
    /// An attribute. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "file", value_parser = attribute)]
    attribute: Vec<(String, String)>,
    /// When it happened, RFC 3339. Left out: now.
    #[arg(long, conflicts_with = "file")]
    timestamp: Option<String>,
    /// A file with one event as JSON, or an array of them; - for standard input.
    #[arg(short, long, value_name = "FILE", conflicts_with = "event_type")]
    file: Option<PathBuf>,
    #[command(flatten)]
    api: ApiOptions,
}

const EXAMPLES: &str = "\
Examples:
  antar send conversation.created --data '{\"conversation\": {\"id\": \"abc-123\"}}'
  antar send order.paid --id order-4711 --attribute channel=whatsapp --data @order.json
  antar send -f events.json --tenant acme";

pub(crate) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let client = arguments.api.client()?;
    let events = arguments.events()?;
    let path = format!("/v1/tenants/{}/events", segment(&arguments.api.tenant));
    let body = events.text().to_owned().into();
    let answer = client.call(Method::POST, &path, "application/json", body).await?;
    let results = results(&answer);
    for result in results {
        if screen.is_text() {
            screen.line(&sentence(result, screen));
        } else {
            screen.json(result);
        }
    }
    let refused = results.iter().filter(|result| result.get("problem").is_some()).count();
    if refused > 0 {
        bail!("{refused} of {} events were refused", results.len());
    }
    Ok(())
}

impl Arguments {
    fn events(&self) -> anyhow::Result<Document> {
        if let Some(file) = &self.file {
            let (name, text) = if file.as_os_str() == "-" {
                ("standard input".to_owned(), data::standard_input()?)
            } else {
                let name = file.display().to_string();
                (name.clone(), std::fs::read_to_string(file).with_context(|| name)?)
            };
            return text.parse().with_context(|| format!("{name} is no JSON"));
        }
        let data = match self.data.as_deref() {
            None => Document::empty_object(),
            Some(text) => data::read(text)?,
        };
        if data.root().kind() != Kind::Object {
            return Err(Usage::error(
                "--data is a JSON object, such as '{\"order\": {\"id\": 1}}'",
            ));
        }
        Ok(self.event(&data))
    }

    fn event(&self, data: &Document) -> Document {
        let mut event = Builder::new();
        event.object();
        let texts = [("type", &self.event_type), ("id", &self.id), ("timestamp", &self.timestamp)];
        for (key, value) in texts {
            if let Some(value) = value {
                event.key(key).string(value);
            }
        }
        if !self.attribute.is_empty() {
            event.key("attributes").object();
            for (name, value) in &self.attribute {
                event.key(name).string(value);
            }
            event.end();
        }
        event.key("data").copy(data.root()).end();
        event.finish()
    }
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("is NAME=VALUE, such as channel=whatsapp")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The results: one for a single event, a list for an array.
fn results(answer: &Json) -> &[Json] {
    let list = answer.as_array().or_else(|| answer["data"].as_array());
    list.map_or(std::slice::from_ref(answer), Vec::as_slice)
}

fn sentence(result: &Json, screen: Screen) -> String {
    if let Some(problem) = result.get("problem") {
        let problem: Problem = serde_json::from_value(problem.clone()).unwrap_or_default();
        return format!("{} {problem}", screen.paint(RED, "refused"));
    }
    let id = result["id"].as_str().unwrap_or_default();
    let deliveries = match result["deliveries"].as_u64().unwrap_or_default() {
        1 => "1 delivery".to_owned(),
        count => format!("{count} deliveries"),
    };
    let word = if result["duplicate"] == true {
        screen.paint(YELLOW, "known already")
    } else {
        screen.paint(GREEN, "accepted")
    };
    format!("{word} {id}, {deliveries}")
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

    fn events(words: &[&str]) -> anyhow::Result<String> {
        let words = ["send"].iter().chain(words);
        Ok(Line::try_parse_from(words)?.arguments.events()?.text().to_owned())
    }

    #[test]
    fn an_event_is_built_with_its_data_as_written() {
        let words = [
            "a.b",
            "--id",
            "x",
            "--attribute",
            "channel=web=1",
            "--data",
            r#"{ "n": 1.00, "a": 9007199254740993 }"#,
        ];
        assert_eq!(
            events(&words).unwrap(),
            r#"{"type":"a.b","id":"x","attributes":{"channel":"web=1"},"data":{"n":1.00,"a":9007199254740993}}"#
        );
        assert_eq!(events(&["a"]).unwrap(), r#"{"type":"a","data":{}}"#);
    }

    #[test]
    fn what_is_no_object_is_refused_before_it_is_sent() {
        assert!(events(&["a", "--data", "[]"]).unwrap_err().is::<Usage>());
        assert!(events(&["a", "--data", "{"]).unwrap_err().is::<Usage>());
        assert!(events(&[]).is_err());
        assert!(events(&["a", "--attribute", "x"]).is_err());
    }

    #[test]
    fn results_of_one_and_of_many() {
        let one = serde_json::json!({"id": "a", "duplicate": false, "deliveries": 1});
        assert_eq!(results(&one), std::slice::from_ref(&one));
        let many = serde_json::json!([one, {"problem": {"title": "no"}}]);
        assert_eq!(results(&many).len(), 2);
    }
}
