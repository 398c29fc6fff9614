//! The server's log: prose on a terminal, JSON lines elsewhere.

use std::io::IsTerminal;

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format;

use super::line::{JsonLine, JsonSpan, Pace, ProseLine, prose_fields};
use crate::config::ServerConfig;

/// Starts the log, which goes to standard error.
pub(super) fn start(config: &ServerConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| anyhow!("server.log: `{}`: {error}; try `info`", config.log))?;
    let terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let pretty = config.log_format == "pretty" || config.log_format.is_empty() && terminal;
    let pace = Pace::new(config.log_lines_per_minute_max);
    let field_characters_max = config.log_field_characters_max;
    let started = if pretty {
        let line = ProseLine { pace, format: format().with_target(false) };
        let log = log.with_ansi(terminal).fmt_fields(prose_fields(field_characters_max));
        log.event_format(line).try_init()
    } else {
        let line = JsonLine { pace, field_characters_max };
        log.fmt_fields(JsonSpan { field_characters_max }).event_format(line).try_init()
    };
    started.map_err(|error| anyhow!("the log can't be started: {error}"))
}
