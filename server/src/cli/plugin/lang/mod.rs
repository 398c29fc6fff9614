//! The languages that plugins are written in, one file each. Another language needs a file and a
//! line in [`Lang`] (`known.rs`) and [`Lang::language`].

/// Embeds a file of `sdk/templates`.
macro_rules! template {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/templates/", $path))
    };
}

/// Embeds files of an SDK: the path in a project, below the SDK's folder, and the path in the
/// repository.
macro_rules! sdk {
    ($($to:literal: $from:literal,)*) => {
        &[$(($to, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../", $from)))),*]
    };
}

mod js;
pub(super) mod known;
mod program;
mod python;
mod rust;
mod rust_sdk;

use std::path::PathBuf;

pub(super) use self::known::Lang;
use super::project::{Project, WrittenKind};
use crate::model::PluginName;

/// What `new` and `build` need from a language.
pub(super) trait Language {
    /// Tools that must be installed, as a sentence.
    fn needs(&self) -> &'static str;

    /// The file that the author writes.
    fn source(&self) -> &'static str;

    /// Refuses a name that can't be a project's name in this language, with the reason.
    fn check_name(&self, name: &PluginName) -> Result<(), String>;

    /// Files of a new project, including the SDK but not the file common to all languages: path in
    /// the project's folder, and text.
    fn files(&self, scaffold: &Scaffold<'_>) -> Vec<(String, String)>;

    /// Compiles a project and returns the path of the .wasm file. `progress` receives the
    /// compiler's output, line by line.
    fn build(&self, project: &Project, progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf>;
}

/// Parameters of a new project.
pub(super) struct Scaffold<'a> {
    pub(super) name: &'a PluginName,
    pub(super) kind: WrittenKind,
}

impl Lang {
    pub(super) fn language(self) -> &'static dyn Language {
        match self {
            Lang::Rust => &rust::Rust,
            Lang::Js => &js::Js,
            Lang::Python => &python::Python,
        }
    }
}

impl Scaffold<'_> {
    /// Files of a project with a copy of the SDK in a folder. In `filled` every `{{word}}` is
    /// replaced; the rest is copied unchanged.
    fn project(
        &self,
        filled: &[(&str, &str)],
        words: &[(&str, &str)],
        fixtures: &[(&str, &str)],
        (folder, sdk): (&str, &[(&str, &str)]),
    ) -> Vec<(String, String)> {
        let filled = filled.iter().map(|(path, text)| ((*path).to_owned(), self.fill(text, words)));
        let fixtures = fixtures.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        let sdk = sdk.iter().map(|(path, text)| (format!("{folder}/{path}"), (*text).to_owned()));
        filled.chain(fixtures).chain(sdk).collect()
    }

    /// `template` with each `{{word}}` replaced.
    pub(super) fn fill(&self, template: &str, words: &[(&str, &str)]) -> String {
        let own = [("name", self.name.as_str()), ("kind", self.kind.name())];
        own.iter().chain(words).fold(template.to_owned(), |text, (word, value)| {
            text.replace(&format!("{{{{{word}}}}}"), value)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Compares a table with its folder: a file of the SDK missing in the table would be missing in
    /// new projects.
    pub(super) fn assert_complete(sdk: &[(&str, &str)], folder: &str, table: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        for file in files.filter(|file| file.file_type().unwrap().is_file()) {
            let name = file.file_name().into_string().unwrap();
            assert!(sdk.iter().any(|(own, _)| *own == name), "add {name} to SDK in {table}");
        }
    }
}
