//! Plugins in Python: `plugin.py` and a copy of the SDK, turned into a component by
//! componentize-py, which includes CPython.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::super::project::{Project, WrittenKind};
use super::program::{find, need_file, run, write};
use super::{Language, Scaffold};
use crate::model::PluginName;

pub(super) struct Python;

/// Copy of the requirements.txt that `.venv` was installed from, to detect changes.
const INSTALLED: &str = ".venv/installed-requirements.txt";

/// The SDK, below `antar_sdk/`.
const SDK: &[(&str, &str)] = sdk! {
    "LICENSE": "LICENSE",
    "wit/plugin.wit": "sdk/wit/plugin.wit",
    "__init__.py": "sdk/python/antar_sdk/__init__.py",
    "answer.py": "sdk/python/antar_sdk/answer.py",
    "config.py": "sdk/python/antar_sdk/config.py",
    "event.py": "sdk/python/antar_sdk/event.py",
    "exact.py": "sdk/python/antar_sdk/exact.py",
    "guest.py": "sdk/python/antar_sdk/guest.py",
    "log.py": "sdk/python/antar_sdk/log.py",
    "path.py": "sdk/python/antar_sdk/path.py",
    "phone.py": "sdk/python/antar_sdk/phone.py",
    "plugin.py": "sdk/python/antar_sdk/plugin.py",
    "py.typed": "sdk/python/antar_sdk/py.typed",
};

/// Keywords of the language, and names that the project's modules use.
const RESERVED: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "config",
    "continue", "def", "del", "elif", "else", "e164", "event", "except", "field", "finally", "for",
    "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass",
    "path", "raise", "return", "try", "values", "while", "with", "yield",
];

impl Language for Python {
    fn needs(&self) -> &'static str {
        "A build needs Python 3.9 or later with venv and pip; the first one installs \
         componentize-py into the project (70 MB), and takes a minute."
    }

    fn source(&self) -> &'static str {
        "plugin.py"
    }

    fn check_name(&self, _name: &PluginName) -> Result<(), String> {
        Ok(())
    }

    fn files(&self, scaffold: &Scaffold<'_>) -> Vec<(String, String)> {
        let (source, test, fixtures, example) = match scaffold.kind {
            WrittenKind::Filter => (
                template!("python/filter/plugin.py.in"),
                template!("python/filter/test_plugin.py.in"),
                [
                    ("fixtures/passes.json", template!("rust/filter/passes.json")),
                    ("fixtures/drops.json", template!("python/filter/drops.json")),
                ],
                "{any: [vip]}",
            ),
            WrittenKind::Transform => (
                template!("python/transform/plugin.py.in"),
                template!("python/transform/test_plugin.py.in"),
                [
                    ("fixtures/phone.json", template!("rust/transform/phone.json")),
                    ("fixtures/no-phone.json", template!("rust/transform/no-phone.json")),
                ],
                "{country: ID}",
            ),
        };
        let ident = ident(scaffold.name.as_str());
        let words = [("ident", ident.as_str()), ("example", example)];
        let filled = [
            ("requirements.txt", template!("python/requirements.txt.in")),
            ("README.md", template!("python/README.md.in")),
            (".gitignore", template!("python/gitignore.in")),
            ("plugin.py", source),
            ("test_plugin.py", test),
        ];
        scaffold.project(&filled, &words, &fixtures, ("antar_sdk", SDK))
    }

    fn build(&self, project: &Project, progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
        let folder = &project.folder;
        for name in ["requirements.txt", "plugin.py", "antar_sdk/guest.py"] {
            need_file(folder, name, "Python")?;
        }
        let installed = install(folder, progress)?;
        let kind = project.kind.name();
        write(&folder.join("build/antar_entry.py"), &entry(kind))?;
        let made = folder.join("build/antar_entry.wasm");
        progress("componentize-py: plugin.py and CPython become a component");
        let mut command = Command::new(installed);
        // Lets componentize-py find the project's own packages.
        command.current_dir(folder).env("VIRTUAL_ENV", folder.join(".venv"));
        command
            .args(["--quiet", "--wit-path", "antar_sdk/wit", "--world"])
            .arg(format!("{kind}-plugin"));
        command.args([
            "componentize",
            "antar_entry",
            "--python-path",
            "build",
            "--python-path",
            ".",
        ]);
        if let Err(failed) = run(command.arg("--output").arg(&made))? {
            progress(&failed.said);
            bail!("componentize-py failed; what it said is above");
        }
        Ok(made)
    }
}

/// Source of the module whose class componentize-py exports; it imports the author's module.
fn entry(kind: &str) -> String {
    let class = if kind == "filter" { "Filter" } else { "Transform" };
    format!(
        "\"\"\"Made by `antar plugin build`.\"\"\"\n\n\
         import plugin  # noqa: F401\n\
         from antar_sdk.guest import export\n\n\
         {class} = export(\"{kind}\")\n"
    )
}

/// Turns a name into a function name.
fn ident(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let is_taken =
        RESERVED.contains(&plain.as_str()) || plain.starts_with(|c: char| c.is_ascii_digit());
    if is_taken { format!("plugin_{plain}") } else { plain }
}

/// Path of a program in the virtual environment.
fn program(folder: &Path, name: &str) -> PathBuf {
    let below = if cfg!(windows) { ".venv/Scripts" } else { ".venv/bin" };
    folder.join(below).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Installs requirements.txt into the project if it has changed, and returns the path of
/// componentize-py.
fn install(folder: &Path, progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
    let wanted = std::fs::read_to_string(folder.join("requirements.txt"))?;
    let componentize = program(folder, "componentize-py");
    let installed = std::fs::read_to_string(folder.join(INSTALLED)).ok();
    if installed.as_ref() == Some(&wanted) && componentize.is_file() {
        return Ok(componentize);
    }
    let python = find(&["python3", "python"]).context(
        "python3, which builds Python, is not in the path: `apt-get install python3 python3-venv` on Debian \
         and Ubuntu, `brew install python` on macOS, or https://www.python.org",
    )?;
    if !program(folder, "python").is_file() {
        progress("python3 -m venv .venv: a place for what the build needs");
        let mut command = Command::new(&python);
        if let Err(failed) = run(command.current_dir(folder).args(["-m", "venv", ".venv"]))? {
            progress(&failed.said);
            bail!(
                "{} can't make a virtual environment. On Debian and Ubuntu that is a package of its own: \
                 `apt-get install python3-venv`",
                python.display()
            );
        }
    }
    progress("pip install: what requirements.txt names, once for each project");
    let mut command = Command::new(program(folder, "python"));
    command.current_dir(folder).args(["-m", "pip", "install", "--quiet"]);
    command.args(["--disable-pip-version-check", "--requirement", "requirements.txt"]);
    if let Err(failed) = run(&mut command)? {
        progress(&failed.said);
        if failed.is_offline() {
            bail!(
                "pip finds no package for something that requirements.txt names: there is no network to its index, \
                 or this Python is older than 3.9. `pip config set global.index-url ADDRESS` names another index"
            );
        }
        bail!("pip install failed; what it said is above");
    }
    if !componentize.is_file() {
        bail!(
            "requirements.txt must name componentize-py: `{}`",
            template!("python/requirements.txt.in").trim()
        );
    }
    write(&folder.join(INSTALLED), &wanted)?;
    Ok(componentize)
}

#[cfg(test)]
mod tests {
    use super::super::tests::assert_complete;
    use super::*;

    #[test]
    fn every_file_of_the_sdk_is_here() {
        assert_complete(SDK, "sdk/python/antar_sdk", file!());
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        for (name, function) in
            [("clean-phones", "clean_phones"), ("import", "plugin_import"), ("2nd", "plugin_2nd")]
        {
            let name = name.parse().unwrap();
            for kind in [WrittenKind::Filter, WrittenKind::Transform] {
                let files = Python.files(&Scaffold { name: &name, kind });
                for (path, text) in files.iter().filter(|(path, _)| !path.starts_with("antar_sdk/"))
                {
                    assert!(!text.contains("{{"), "{path}: {text}");
                }
                let source = files.iter().find(|(path, _)| path == "plugin.py").unwrap();
                assert!(source.1.contains(&format!("def {function}(")), "{}", source.1);
            }
        }
    }
}
