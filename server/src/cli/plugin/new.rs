//! `antar plugin new`: creates a project.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::json;

use super::lang::{Lang, Scaffold};
use super::project::{FILE, Project, WrittenKind};
use crate::cli::terminal::screen::{BOLD, GREEN, Screen};
use crate::cli::terminal::usage::Usage;
use crate::model::PluginName;

/// Makes a project that builds and whose tests pass, in a new folder.
///
/// The SDK and the contract (WIT) are written into it from copies in this program, so that it
/// builds anywhere.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Name of the plugin, and of the folder.
    name: String,
    /// Language to write it in.
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    lang: Lang,
    /// What it is for.
    #[arg(long, value_enum)]
    kind: WrittenKind,
    /// Folder for the project. Left out: one of the plugin's name, here.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  antar plugin new vip-only --kind filter
  antar plugin new clean-phones --lang rust --kind transform --dir plugins/clean-phones";

pub(super) fn run(arguments: &Arguments, screen: Screen) -> anyhow::Result<()> {
    let name: PluginName = arguments
        .name
        .parse()
        .map_err(|error| Usage::error(format!("the name {:?}: {error}", arguments.name)))?;
    let language = arguments.lang.language();
    language.check_name(&name).map_err(Usage::error)?;
    let folder = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(name.as_str()));
    if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!(
            "the folder {} is there already, and not empty: take another name or --dir",
            folder.display()
        );
    }
    let mut files = language.files(&Scaffold { name: &name, kind: arguments.kind });
    files.push((FILE.to_owned(), Project::written(&name, arguments.kind, arguments.lang)));
    for (path, text) in &files {
        write(&folder.join(path), text)?;
    }
    if screen.is_text() {
        let place = folder.display();
        screen.line(&format!("{} {place}, {} files", screen.paint(GREEN, "made"), files.len()));
        screen.line(&format!("The function is in {}.", screen.paint(BOLD, language.source())));
        screen.line(&format!(
            "\n  cd {place}\n  antar plugin build\n  antar plugin test\n  antar plugin push"
        ));
        screen.line(&format!("\n{}", language.needs()));
    } else {
        screen.json(&json!({
            "name": name.as_str(), "kind": arguments.kind.name(), "lang": arguments.lang.name(),
            "path": folder.display().to_string(), "files": files.len(),
        }));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let named = || path.display().to_string();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(named)?;
    }
    std::fs::write(path, text).with_context(named)
}
