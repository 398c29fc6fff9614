//! `--data`: JSON on the command line, in a file, or on standard input.

use std::io::Read;

use antar_json::Document;
use anyhow::Context;

use crate::cli::terminal::usage::Usage;

/// Reads JSON, `@FILE`, or `-` for standard input.
pub(super) fn read(argument: &str) -> anyhow::Result<Document> {
    let text = match (argument, argument.strip_prefix('@')) {
        ("-", _) => standard_input()?,
        (_, Some(file)) => std::fs::read_to_string(file).with_context(|| file.to_owned())?,
        (text, None) => text.to_owned(),
    };
    text.parse().map_err(|error| Usage::error(format!("--data is no JSON: {error}")))
}

pub(super) fn standard_input() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("standard input")?;
    Ok(text)
}
