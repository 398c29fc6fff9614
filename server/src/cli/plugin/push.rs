//! `antar plugin push`: uploads a plugin and waits until it is compiled.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use http::Method;
use serde_json::Value as Json;

use super::build::{progress, shown};
use super::project::{Project, file_or_built};
use super::size;
use crate::cli::client::api::{Client, segment};
use crate::cli::client::options::ApiOptions;
use crate::cli::terminal::screen::{GREEN, Screen};
use crate::cli::terminal::usage::Usage;
use crate::model::PluginName;

/// Interval of polling an upload that is being compiled.
const LOOK_MS: u64 = 250;
/// Polls at most; compiling a large interpreter takes some tens of seconds.
const LOOKS_MAX: u64 = 2_400;

/// Uploads a plugin as a new version, and waits until it can be used.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// A .wasm file. Left out: the project's, built when needed.
    file: Option<PathBuf>,
    /// Name for webhooks to use. Left out: the project's, else the file's.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    api: ApiOptions,
}

const EXAMPLES: &str = "\
Examples:
  antar plugin push
  antar plugin push by_label.wasm --name by-label --tenant acme";

pub(super) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let client = arguments.api.client()?;
    let (file, project) = file_or_built(arguments.file.as_deref(), &mut progress)?;
    let name = name(arguments.name.as_deref(), project.as_ref(), &file)?;
    let wasm = std::fs::read(&file).with_context(|| file.display().to_string())?;
    if !wasm.starts_with(b"\0asm") {
        bail!("{} is no WebAssembly file; `antar plugin build` makes one", file.display());
    }
    let plugins = format!("/v1/tenants/{}/plugins", segment(&arguments.api.tenant));
    let path = format!("{plugins}?name={}", segment(name.as_str()));
    let answer = client.call(Method::POST, &path, "application/wasm", wasm.into()).await;
    let answer = answer.with_context(|| shown(&file))?;
    let done = compiled(&client, &plugins, answer, screen).await?;
    if !screen.is_text() {
        screen.json(&done);
        return Ok(());
    }
    let bytes = done["size_bytes"].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
    let version = format!("{name}@{}", done["version"]);
    let kind = done["kind"].as_str().unwrap_or_default();
    let size = size(bytes.unwrap_or_default());
    screen.line(&format!("{} {version}, a {kind} of {size}", screen.paint(GREEN, "pushed")));
    screen.line(&format!("sha256 {}", done["digest"].as_str().unwrap_or_default()));
    Ok(())
}

/// Waits until a background compilation has ended.
async fn compiled(
    client: &Client,
    plugins: &str,
    mut answer: Json,
    screen: Screen,
) -> anyhow::Result<Json> {
    let path = format!(
        "{plugins}/{}",
        segment(&format!("{}@{}", answer["name"].as_str().unwrap_or_default(), answer["version"]))
    );
    for look in 0..LOOKS_MAX {
        match answer["state"].as_str() {
            Some("compiling") if look == 0 && screen.is_text() => {
                progress("the server is compiling it");
            }
            Some("compiling") => {}
            Some("failed") => {
                let why = [&answer["error"], &answer["reason"]].into_iter().find_map(Json::as_str);
                bail!("the server could not compile it: {}", why.unwrap_or("it does not say why"));
            }
            _ => return Ok(answer),
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        answer = client.get(&path).await?;
    }
    bail!(
        "it is still being compiled after {} s; `antar plugin list` shows when it is done",
        LOOKS_MAX * LOOK_MS / 1_000
    )
}

fn name(given: Option<&str>, project: Option<&Project>, file: &Path) -> anyhow::Result<PluginName> {
    let of_file = || {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        // Cargo writes by_label.wasm for the package by-label.
        stem.replace('_', "-")
    };
    let text = match (given, project) {
        (Some(name), _) => name.to_owned(),
        (None, Some(project)) => project.name.to_string(),
        (None, None) => of_file(),
    };
    text.parse()
        .map_err(|error| Usage::error(format!("the name {text:?}: {error}; give one with --name")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_from_the_option_or_the_file() {
        let name = |given, file: &str| name(given, None, Path::new(file)).map(|n| n.to_string());
        assert_eq!(name(Some("x"), "by_label.wasm").unwrap(), "x");
        assert_eq!(name(None, "target/by_label.wasm").unwrap(), "by-label");
        assert!(name(None, "my plugin.wasm").unwrap_err().to_string().contains("--name"));
    }
}
