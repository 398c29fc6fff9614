//! Terminal output: coloured on a terminal, plain text in a pipe.

use std::io::IsTerminal;
use std::time::Duration;

/// Standard output.
#[derive(Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) terminal: bool,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        Screen {
            terminal: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// `text` in an SGR style such as `1` (bold) or `32` (green).
    pub(crate) fn paint(self, style: &str, text: &str) -> String {
        if self.terminal { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Prints the heading of a section.
    pub(crate) fn heading(self, text: &str) {
        println!("\n{}", self.paint("1;36", text));
    }

    /// Prints lines below a heading.
    pub(crate) fn note(self, text: &str) {
        for line in text.lines() {
            println!("    {line}");
        }
    }

    pub(crate) fn good(self, text: &str) {
        println!("    {}", self.paint("32", text));
    }

    pub(crate) fn bad(self, text: &str) {
        println!("    {}", self.paint("1;31", text));
    }
}

/// `0.3 s`, `12 s`, `3 min 05 s`.
pub(crate) fn spell(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}
