//! `antar plugin build`: compiles a project to a .wasm file.

use serde_json::json;

use super::project::Project;
use super::size;
use crate::cli::terminal::screen::{GREEN, Screen};

/// Compiles the project to a .wasm file.
///
/// The tool chain for WebAssembly is found, or made if that is possible. What the compiler says
/// goes to standard error.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {}

const EXAMPLES: &str = "\
Example:
  antar plugin build                          makes build/NAME.wasm
  ANTAR_WASM_TARGET=debian antar plugin build takes one way to a tool chain alone: installed,
                                              rustup, rust-src or debian";

pub(super) fn run(_arguments: &Arguments, screen: Screen) -> anyhow::Result<()> {
    let project = Project::here()?;
    let path = project.build(&mut progress)?;
    let size_bytes = std::fs::metadata(&path)?.len();
    let shown = shown(&path);
    if screen.is_text() {
        let size = size(usize::try_from(size_bytes)?);
        screen.line(&format!("{} {shown}, {size}", screen.paint(GREEN, "built")));
    } else {
        screen
            .json(&json!({"name": project.name.as_str(), "path": shown, "size_bytes": size_bytes}));
    }
    Ok(())
}

/// Prints a line of the compiler, or of the search for one.
pub(super) fn progress(line: &str) {
    eprintln!("{line}");
}

/// The path relative to the current folder, if it is below it.
pub(super) fn shown(path: &std::path::Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
