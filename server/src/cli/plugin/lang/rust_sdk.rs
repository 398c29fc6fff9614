//! The Rust SDK and its dependencies, embedded in this program.

/// Files that are compiled, below `antar-sdk/`; the SDK's own tests are left out.
const FILES: &[(&str, &str)] = sdk! {
    "LICENSE": "LICENSE",
    "wit/plugin.wit": "sdk/wit/plugin.wit",
    "json/Cargo.toml": "crates/json/Cargo.toml",
    "json/src/block.rs": "crates/json/src/block.rs",
    "json/src/build.rs": "crates/json/src/build.rs",
    "json/src/lib.rs": "crates/json/src/lib.rs",
    "json/src/parse.rs": "crates/json/src/parse.rs",
    "json/src/scan.rs": "crates/json/src/scan.rs",
    "json/src/steps.rs": "crates/json/src/steps.rs",
    "json/src/value.rs": "crates/json/src/value.rs",
    "rust/Cargo.toml": "sdk/rust/Cargo.toml",
    "rust/macros/Cargo.toml": "sdk/rust/macros/Cargo.toml",
    "rust/macros/bindings/filter.txt": "sdk/rust/macros/bindings/filter.txt",
    "rust/macros/bindings/transform.txt": "sdk/rust/macros/bindings/transform.txt",
    "rust/macros/src/config.rs": "sdk/rust/macros/src/config.rs",
    "rust/macros/src/guest.rs": "sdk/rust/macros/src/guest.rs",
    "rust/macros/src/lib.rs": "sdk/rust/macros/src/lib.rs",
    "rust/src/answer.rs": "sdk/rust/src/answer.rs",
    "rust/src/arena.rs": "sdk/rust/src/arena.rs",
    "rust/src/config.rs": "sdk/rust/src/config.rs",
    "rust/src/date.rs": "sdk/rust/src/date.rs",
    "rust/src/edit.rs": "sdk/rust/src/edit.rs",
    "rust/src/event.rs": "sdk/rust/src/event.rs",
    "rust/src/guest.rs": "sdk/rust/src/guest.rs",
    "rust/src/json.rs": "sdk/rust/src/json.rs",
    "rust/src/lib.rs": "sdk/rust/src/lib.rs",
    "rust/src/log.rs": "sdk/rust/src/log.rs",
    "rust/src/path.rs": "sdk/rust/src/path.rs",
    "rust/src/phone.rs": "sdk/rust/src/phone.rs",
    "rust/src/testing.rs": "sdk/rust/src/testing.rs",
};

/// The repository's own manifest, with the versions, features and lints of the SDK's crates.
const WORKSPACE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));

/// Folders of the SDK's crates in a project.
const CRATES: &[(&str, &str)] =
    &[("antar-json", "json"), ("antar-sdk", "rust"), ("antar-sdk-macros", "rust/macros")];

/// The SDK's files, with paths in the project's folder.
pub(super) fn sdk_files() -> impl Iterator<Item = (String, String)> {
    let files = FILES.iter().map(|(path, text)| (*path, (*text).to_owned()));
    let workspace = std::iter::once(("Cargo.toml", workspace()));
    files.chain(workspace).map(|(path, text)| (format!("antar-sdk/{path}"), text))
}

/// A workspace manifest of the SDK's crates only. What they inherit is copied from the repository's
/// manifest, line by line.
fn workspace() -> String {
    let members: Vec<String> = CRATES.iter().map(|(_, path)| format!("{path:?}")).collect();
    let mut text = format!("[workspace]\nresolver = \"3\"\nmembers = [{}]\n", members.join(", "));
    let mut section = "";
    for line in WORKSPACE.lines() {
        if line.starts_with('[') {
            section = line;
            if section == "[workspace.package]"
                || section == "[workspace.dependencies]"
                || section.starts_with("[workspace.lints.")
            {
                text.push_str(&format!("\n{line}\n"));
            }
            continue;
        }
        let Some((name, _)) = line.split_once(" = ") else { continue };
        match section {
            "[workspace.dependencies]" => match CRATES.iter().find(|(own, _)| *own == name) {
                Some((_, path)) => text.push_str(&format!("{name} = {{ path = {path:?} }}\n")),
                None if is_wanted(name) => text.push_str(&format!("{line}\n")),
                None => {}
            },
            "[workspace.package]" => text.push_str(&format!("{line}\n")),
            other if other.starts_with("[workspace.lints.") => text.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    text
}

/// Whether one of the SDK's crates inherits a dependency from the workspace.
fn is_wanted(name: &str) -> bool {
    let manifests = FILES.iter().filter(|(path, _)| path.ends_with("Cargo.toml"));
    let forms = [format!("{name}.workspace"), format!("{name} = {{ workspace")];
    let names = |line: &str| forms.iter().any(|form| line.starts_with(form.as_str()));
    manifests.into_iter().any(|(_, text)| text.lines().any(names))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files_below(&path, found) } else { found.push(path) }
        }
    }

    #[test]
    fn every_file_of_the_sdk_is_here() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (folder, to) in [
            ("sdk/rust/src", "rust/src"),
            ("sdk/rust/macros/bindings", "rust/macros/bindings"),
            ("sdk/rust/macros/src", "rust/macros/src"),
            ("sdk/wit", "wit"),
            ("crates/json/src", "json/src"),
        ] {
            let mut found = Vec::new();
            files_below(&root.join(folder), &mut found);
            for path in found {
                let below = path.strip_prefix(root.join(folder)).unwrap();
                let name = format!("{to}/{}", below.display());
                assert!(
                    FILES.iter().any(|(own, _)| *own == name),
                    "add a line to FILES in {}: \"{name}\": \"{folder}/{}\",",
                    file!(),
                    below.display()
                );
            }
        }
    }

    #[test]
    fn the_workspace_has_what_its_crates_inherit_and_no_more() {
        let text = workspace();
        for line in ["serde = ", "wit-bindgen = ", "antar-json = { path = \"json\" }", "edition = "]
        {
            assert!(text.contains(line), "{line}: {text}");
        }
        for line in ["actix-web", "wasmtime", "[profile", "members = [\"crates"] {
            assert!(!text.contains(line), "{line}: {text}");
        }
    }
}
