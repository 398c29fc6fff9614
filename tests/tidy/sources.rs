//! The repository's own files.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A text file of the repository.
pub(crate) struct Source {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Line number from 1, and the line.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    /// `path:line: what`
    pub(crate) fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All files that git knows or would take, but for lock files and what is no UTF-8.
pub(crate) fn all() -> Vec<Source> {
    let words = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let output = Command::new("git").args(words).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    let read = |path: &str| {
        // A file that git knows and that is gone is somebody's deletion, not yet committed.
        let text = std::fs::read_to_string(root().join(path)).ok()?;
        Some(Source { path: path.to_owned(), text })
    };
    names.split_terminator('\0').filter(|name| !name.ends_with(".lock")).filter_map(read).collect()
}

/// Rust files below these folders.
pub(crate) fn rust_below(folders: &[&str]) -> Vec<Source> {
    let below = |source: &Source| folders.iter().any(|folder| source.path.starts_with(folder));
    all().into_iter().filter(|source| source.is_rust() && below(source)).collect()
}

#[test]
fn the_repository_is_found() {
    assert!(all().iter().any(|source| source.path == "Cargo.toml"));
    assert!(rust_below(&["server/src/"]).len() > 10);
}
