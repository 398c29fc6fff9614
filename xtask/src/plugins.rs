//! `cargo xtask plugins`: the bundled plugins as files for `antar plugin push`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{apt_install, in_path, must};
use crate::guests::Guests;
use crate::screen::Screen;

/// Compile the bundled plugins to target/plugins, ready for `antar plugin push`.
///
/// Those in Rust are compiled like every guest. The two of plugins/script need Node with npm as
/// well, and a development build of `antar`, which puts JavaScript and its engine into one file.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Kinds of plugin with a folder in `plugins/script`.
const SCRIPTS: [&str; 2] = ["filter", "transform"];

pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    let screen = Screen::new();
    let root = crate::root();
    let folder = root.join("target/plugins");
    fs::create_dir_all(&folder)?;
    screen.heading("Bundled plugins");
    let mut say = |text: &str| screen.note(text);
    let mut made = Vec::new();
    for guest in Guests::find(&mut say)?.build(&root, "plugins", &mut say)? {
        let path = folder.join(format!("{}.wasm", guest.name));
        fs::copy(&guest.wasm, &path)?;
        made.push(path);
    }
    if has_node(&mut say)? {
        say("cargo build --bin antar, which builds those in JavaScript");
        let antar = crate::demo::build_server(&root)?;
        for kind in SCRIPTS {
            made.push(script(&root, &antar, kind)?);
        }
    } else {
        say(
            "LEFT OUT: script-filter and script-transform. They need node and npm: `apt-get install \
             nodejs npm` on Debian and Ubuntu, `brew install node` on macOS",
        );
    }
    for path in made {
        let size_kb = fs::metadata(&path)?.len() / 1_000;
        let path = path.strip_prefix(&root).unwrap_or(&path);
        screen.good(&format!("antar plugin push {}    # {size_kb} KB", path.display()));
    }
    Ok(())
}

fn has_node(say: &mut dyn FnMut(&str)) -> Result<bool> {
    let is_there = || ["node", "npm"].iter().all(|name| in_path(name).is_some());
    Ok(is_there() || (apt_install(&["nodejs", "npm"], say)? && is_there()))
}

/// Creates a project as any author would, copies the plugin's sources into it, and builds it.
fn script(root: &Path, antar: &Path, kind: &str) -> Result<PathBuf> {
    let name = format!("script-{kind}");
    let projects = root.join("target/plugins/projects");
    let project = projects.join(&name);
    if project.exists() {
        fs::remove_dir_all(&project)?;
    }
    fs::create_dir_all(&projects)?;
    let antar_plugin = |folder: &Path, words: &[&str]| {
        must(Command::new(antar).arg("plugin").args(words).current_dir(folder))
    };
    antar_plugin(&projects, &["new", &name, "--lang", "js", "--kind", kind])?;
    fs::remove_dir_all(project.join("fixtures"))?;
    let sources = root.join("plugins/script");
    fs::copy(sources.join("script.js"), project.join("script.js"))?;
    copy_all(&sources.join(kind), &project)?;
    antar_plugin(&project, &["build"])?;
    let path = root.join(format!("target/plugins/{name}.wasm"));
    fs::copy(project.join(format!("build/{name}.wasm")), &path)?;
    Ok(path)
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_all(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
