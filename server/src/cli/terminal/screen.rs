//! Output: prose on a terminal, JSON lines in a pipe.

use std::io::{IsTerminal, Write};

use serde_json::{Value as Json, json};

/// How output looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Standard output. Write errors, such as a closed pipe, are ignored.
#[derive(Clone, Copy)]
pub(crate) struct Screen {
    format: Format,
    colour: bool,
}

/// SGR styles.
pub(crate) const BOLD: &str = "1";
pub(crate) const DIM: &str = "2";
pub(crate) const RED: &str = "31";
pub(crate) const GREEN: &str = "32";
pub(crate) const YELLOW: &str = "33";

impl Screen {
    pub(crate) fn new(format: Option<Format>) -> Screen {
        let terminal = std::io::stdout().is_terminal();
        Screen {
            format: format.unwrap_or(if terminal { Format::Text } else { Format::Json }),
            // https://no-color.org
            colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    /// JSON lines, even on a terminal.
    pub(crate) fn lines() -> Screen {
        Screen { format: Format::Json, colour: false }
    }

    pub(crate) fn is_text(self) -> bool {
        self.format == Format::Text
    }

    /// Prints one line in either format.
    pub(crate) fn line(self, text: &str) {
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// Prints a line that the next progress line replaces on a terminal. An empty text ends it;
    /// then [`Screen::line`] continues below it.
    pub(crate) fn progress(self, text: &str) {
        let mut out = std::io::stdout();
        let _ = if text.is_empty() { writeln!(out) } else { write!(out, "\r\x1b[K{text}") };
        let _ = out.flush();
    }

    /// Whether a user is there to answer a question.
    pub(crate) fn can_ask(self) -> bool {
        self.is_text() && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }

    /// `text` in a style, if styles are shown.
    pub(crate) fn paint(self, style: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Prints why a command failed to standard error.
    pub(crate) fn error(self, error: &anyhow::Error) {
        let mut out = std::io::stderr();
        let _ = match self.format {
            Format::Text => writeln!(out, "error: {error:#}"),
            Format::Json => writeln!(out, "{}", json!({"error": format!("{error:#}")})),
        };
    }

    /// Prints one JSON line.
    pub(crate) fn json(self, value: &Json) {
        self.line(&value.to_string());
    }
}
