//! Plugins in Rust: a crate with a copy of the SDK beside it.

use std::path::PathBuf;

use antar_wasm_target::{Build, BuildError, WasmTarget};
use anyhow::{Context, bail};

use super::super::project::{Project, WrittenKind};
use super::rust_sdk::sdk_files;
use super::{Language, Scaffold};
use crate::model::PluginName;

pub(super) struct Rust;

/// Names that a package or a function can't have.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "antar-sdk",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

impl Language for Rust {
    fn needs(&self) -> &'static str {
        "A build needs cargo (https://rustup.rs); its WebAssembly target is added by itself where \
         that is possible."
    }

    fn source(&self) -> &'static str {
        "src/lib.rs"
    }

    fn check_name(&self, name: &PluginName) -> Result<(), String> {
        let name = name.as_str();
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
        let known = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if begins && known && !RESERVED.contains(&name) {
            return Ok(());
        }
        Err(format!(
            "the name {name:?} can't be a Rust package's: letters, digits and `-`, a letter first, \
             and no word of the language. `antar plugin push --name` takes any"
        ))
    }

    fn files(&self, scaffold: &Scaffold<'_>) -> Vec<(String, String)> {
        let (source, fixtures, example) = match scaffold.kind {
            WrittenKind::Filter => (
                template!("rust/filter/lib.rs.in"),
                [
                    ("fixtures/passes.json", template!("rust/filter/passes.json")),
                    ("fixtures/drops.json", template!("rust/filter/drops.json")),
                ],
                "{any: [vip]}",
            ),
            WrittenKind::Transform => (
                template!("rust/transform/lib.rs.in"),
                [
                    ("fixtures/phone.json", template!("rust/transform/phone.json")),
                    ("fixtures/no-phone.json", template!("rust/transform/no-phone.json")),
                ],
                "{country: ID}",
            ),
        };
        let ident = scaffold.name.as_str().replace('-', "_");
        let words = [("ident", ident.as_str()), ("example", example)];
        let filled = [
            ("Cargo.toml", template!("rust/Cargo.toml.in")),
            ("README.md", template!("rust/README.md.in")),
            (".gitignore", template!("rust/gitignore.in")),
            ("src/lib.rs", source),
        ];
        let filled = filled.map(|(path, text)| (path.to_owned(), scaffold.fill(text, &words)));
        let fixtures = fixtures.map(|(path, text)| (path.to_owned(), text.to_owned()));
        filled.into_iter().chain(fixtures).chain(sdk_files()).collect()
    }

    fn build(&self, project: &Project, progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
        let manifest = project.folder.join("Cargo.toml");
        if !manifest.is_file() {
            bail!("{}: a plugin in Rust needs it, and it is not there", manifest.display());
        }
        let target_dir = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target_dir = target_dir.unwrap_or_else(|| project.folder.join("target"));
        let build = Build {
            manifest: &manifest,
            packages: &[],
            target_dir: &target_dir,
            profile: "release",
        };
        let target = WasmTarget::find(progress)?;
        let made = target.cargo_build(&build, progress).map_err(|error| match error {
            // The compiler's output was shown line by line.
            BuildError::Failed(_) => anyhow::anyhow!("cargo build failed; what it said is above"),
            other => anyhow::Error::new(other),
        })?;
        made.into_iter().next().context("cargo build made no file")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_rust_does_not_take_are_refused_before_anything_is_written() {
        let check = |name: &str| Rust.check_name(&name.parse().unwrap());
        assert!(check("by-label_2").is_ok());
        for name in ["match", "core", "2nd"] {
            assert!(check(name).unwrap_err().contains("--name"), "{name}");
        }
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        let name = "clean-phones".parse().unwrap();
        for kind in [WrittenKind::Filter, WrittenKind::Transform] {
            let files = Rust.files(&Scaffold { name: &name, kind });
            for (path, text) in files.iter().filter(|(path, _)| !path.starts_with("antar-sdk/")) {
                assert!(!text.contains("{{"), "{path}: {text}");
            }
            let source = files.iter().find(|(path, _)| path == "src/lib.rs").unwrap();
            assert!(source.1.contains("fn clean_phones("), "{}", source.1);
        }
    }
}
