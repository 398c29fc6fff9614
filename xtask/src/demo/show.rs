//! Output of the demo: prose on a terminal, one JSON object a line in a pipe.

use serde_json::{Value, json};

use super::receiver::Received;
use crate::screen::Screen;

#[derive(Clone, Copy)]
pub(crate) struct Show {
    screen: Screen,
    terminal: bool,
}

impl Show {
    pub(crate) fn new() -> Show {
        use std::io::IsTerminal;
        Show { screen: Screen::new(), terminal: std::io::stdout().is_terminal() }
    }

    fn print(self, json: Value, prose: impl FnOnce(Screen)) {
        if self.terminal { prose(self.screen) } else { println!("{json}") }
    }

    /// Prints the title of a new part.
    pub(crate) fn section(self, title: &str) {
        self.print(json!({"kind": "section", "text": title}), |screen| screen.heading(title));
    }

    /// Prints a step that is in progress or done.
    pub(crate) fn step(self, text: &str) {
        self.print(json!({"kind": "step", "text": text}), |screen| screen.note(text));
    }

    /// Prints a fact worth seeing, with the data behind it.
    pub(crate) fn fact(self, kind: &str, text: &str, data: Value) {
        let json = json!({"kind": kind, "text": text, "data": data});
        self.print(json, |screen| screen.note(text));
    }

    pub(crate) fn good(self, text: &str) {
        self.print(json!({"kind": "good", "text": text}), |screen| screen.good(text));
    }

    /// Prints something that went wrong.
    pub(crate) fn complaint(self, text: &str) {
        self.print(json!({"kind": "complaint", "text": text}), |screen| screen.bad(text));
    }

    /// Prints a command to paste, with what it does.
    pub(crate) fn command(self, about: &str, command: &str) {
        self.print(json!({"kind": "try", "text": about, "command": command}), |screen| {
            println!("\n    {}\n{}", screen.paint("2", &format!("# {about}")), command);
        });
    }

    /// Prints a request as it arrived, and the status of its response.
    pub(crate) fn request(self, request: &Received) {
        let body = serde_json::from_slice::<Value>(&request.body)
            .unwrap_or_else(|_| String::from_utf8_lossy(&request.body).into());
        let json = json!({
            "kind": "request", "number": request.number, "method": request.method,
            "path": request.path, "headers": headers(request), "body": body,
            "verified": request.verdict.as_ref().ok(), "not_verified": request.verdict.as_ref().err(),
            "answered": request.answered,
        });
        self.print(json, |screen| {
            let line = format!("{} {}", request.method, request.path);
            println!("\n    #{} {}", request.number, screen.paint("1", &line));
            for (name, value) in &request.headers {
                println!("       {}: {value}", screen.paint("2", name));
            }
            let text = serde_json::to_string_pretty(&body).unwrap_or_default();
            for line in text.lines() {
                println!("       {line}");
            }
            match &request.verdict {
                Ok(how) => println!("       {} {how}", screen.paint("32", "verified:")),
                Err(why) => println!("       {} {why}", screen.paint("1;31", "not verified:")),
            }
            println!("       answered {}", request.answered);
        });
    }
}

fn headers(request: &Received) -> Value {
    let pairs = request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    Value::Object(pairs.collect())
}
