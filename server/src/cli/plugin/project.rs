//! A plugin's project: a folder with `antar-plugin.yaml`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::lang::known::Lang;
use crate::cli::terminal::usage::Usage;
use crate::model::PluginName;
use crate::plugin::Kind;

/// The file that describes a project.
pub(super) const FILE: &str = "antar-plugin.yaml";
/// Folders that don't count when a build is checked for being out of date, mostly generated ones.
const MADE: &[&str] = &["target", "build", "fixtures", "node_modules", "dist", "__pycache__"];
/// Files of a project examined at most.
const FILES_MAX: usize = 20_000;

/// A folder with a plugin's source.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) folder: PathBuf,
    pub(super) name: PluginName,
    pub(super) kind: WrittenKind,
    pub(super) lang: Lang,
}

/// Content of the project's file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    kind: WrittenKind,
    lang: Lang,
}

/// What the plugin is for, as in `--kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum WrittenKind {
    /// Says pass or drop.
    Filter,
    /// Returns new data, or drops.
    Transform,
}

impl WrittenKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            WrittenKind::Filter => "filter",
            WrittenKind::Transform => "transform",
        }
    }

    pub(super) fn of(kind: Kind) -> WrittenKind {
        match kind {
            Kind::Filter => WrittenKind::Filter,
            Kind::Transform => WrittenKind::Transform,
        }
    }
}

impl Project {
    /// The project that contains the current folder.
    pub(super) fn here() -> anyhow::Result<Project> {
        let folder = std::env::current_dir().context("the current folder")?;
        Project::around(&folder)?.ok_or_else(|| {
            Usage::error(format!(
                "there is no {FILE} in {} or above it. `antar plugin new NAME --kind filter` makes a \
                 project; `test`, `run` and `push` also take a FILE.wasm",
                folder.display()
            ))
        })
    }

    /// The project that contains a folder, if any.
    pub(super) fn around(folder: &Path) -> anyhow::Result<Option<Project>> {
        let found = folder.ancestors().find(|folder| folder.join(FILE).is_file());
        found.map(Project::read).transpose()
    }

    fn read(folder: &Path) -> anyhow::Result<Project> {
        let file = folder.join(FILE);
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let options = serde_saphyr::options! { with_snippet: false };
        let written = serde_saphyr::from_str_with_options::<Written>(&text, options);
        let written = written.map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            anyhow::anyhow!(
                "{}:{line}: {error}. It has three lines: `name: NAME`, `kind: filter` or \
                 `transform`, `lang: {}`",
                file.display(),
                Lang::names()
            )
        })?;
        let Written { name, kind, lang } = written;
        let name = name
            .parse()
            .map_err(|error| anyhow::anyhow!("{}: name {name:?}: {error}", file.display()))?;
        Ok(Project { folder: folder.to_owned(), name, kind, lang })
    }

    /// Content of the file for a new project.
    pub(super) fn written(name: &PluginName, kind: WrittenKind, lang: Lang) -> String {
        format!(
            "# For `antar plugin build`, `test` and `push`.\nname: {name}\nkind: {}\nlang: {}\n",
            kind.name(),
            lang.name()
        )
    }

    /// Path of the built plugin.
    pub(super) fn wasm(&self) -> PathBuf {
        self.folder.join("build").join(format!("{}.wasm", self.name))
    }

    /// Folder of the fixtures.
    pub(super) fn fixtures(&self) -> PathBuf {
        self.folder.join("fixtures")
    }

    /// Compiles the project and returns the path of the .wasm file.
    pub(super) fn build(&self, progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
        let made = self.lang.language().build(self, progress)?;
        let wasm = self.wasm();
        if let Some(folder) = wasm.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        std::fs::copy(&made, &wasm)
            .with_context(|| format!("{} to {}", made.display(), wasm.display()))?;
        Ok(wasm)
    }

    /// The .wasm file, built first if it is missing or older than the sources.
    pub(super) fn built(&self, progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
        let wasm = self.wasm();
        let made = std::fs::metadata(&wasm).and_then(|metadata| metadata.modified()).ok();
        if made.is_some_and(|made| newest_change(&self.folder) <= Some(made)) {
            return Ok(wasm);
        }
        self.build(progress)
    }
}

/// The file to work on: the named one, or the current project's, built if needed. With it, the
/// project that it belongs to, if any.
pub(super) fn file_or_built(
    file: Option<&Path>,
    progress: &mut dyn FnMut(&str),
) -> anyhow::Result<(PathBuf, Option<Project>)> {
    let Some(file) = file else {
        let project = Project::here()?;
        return Ok((project.built(progress)?, Some(project)));
    };
    if !file.is_file() {
        bail!("{}: there is no such file; `antar plugin build` makes one", file.display());
    }
    let absolute = std::path::absolute(file).with_context(|| file.display().to_string())?;
    let folder = absolute.parent().unwrap_or(&absolute);
    Ok((file.to_owned(), Project::around(folder)?))
}

/// Time of the newest change to the project's own files.
fn newest_change(folder: &Path) -> Option<SystemTime> {
    let mut folders = vec![folder.to_owned()];
    let mut newest = None;
    let mut files_left = FILES_MAX;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Ok(metadata) = entry.metadata() else { continue };
            if name.starts_with('.') || MADE.contains(&&*name) || files_left == 0 {
                continue;
            }
            files_left -= 1;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                newest = newest.max(metadata.modified().ok());
            }
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> anyhow::Result<Option<Project>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let below = folder.path().join("src/deep");
        std::fs::create_dir_all(&below).unwrap();
        Project::around(&below)
    }

    #[test]
    fn what_is_written_is_read_from_a_folder_below() {
        let name: PluginName = "vip-only".parse().unwrap();
        let text = Project::written(&name, WrittenKind::Filter, Lang::Rust);
        let project = project(&text).unwrap().unwrap();
        assert_eq!((project.name, project.kind), (name, WrittenKind::Filter));
    }

    #[test]
    fn a_wrong_file_is_named_with_line_and_fix() {
        let error = project("name: a\nkind: filtr\nlang: rust\n").unwrap_err().to_string();
        assert!(error.contains("antar-plugin.yaml:2: "), "{error}");
        assert!(error.contains("`kind: filter` or `transform`"), "{error}");
        let error = project("name: a b\nkind: filter\nlang: rust\n").unwrap_err().to_string();
        assert!(error.contains("name \"a b\": "), "{error}");
        assert!(project("name: a\nkind: filter\nlang: cobol\n").is_err());
    }

    #[test]
    fn a_change_makes_a_build_too_old_and_a_fixture_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, age_s: u64| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "x").unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 - age_s);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            time
        };
        let source = write("src/lib.rs", 10);
        write("fixtures/a.json", 1);
        write("target/x", 2);
        write(".git/index", 3);
        assert_eq!(newest_change(folder.path()), Some(source));
        let newer = write("Cargo.toml", 5);
        assert_eq!(newest_change(folder.path()), Some(newer));
    }
}
