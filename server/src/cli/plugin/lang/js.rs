//! Plugins in JavaScript: `plugin.js` and a copy of the SDK, turned into a component by
//! componentize-qjs, which includes the QuickJS engine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::super::project::{Project, WrittenKind};
use super::program::{find, need_file, run, write};
use super::{Language, Scaffold};
use crate::model::PluginName;

pub(super) struct Js;

/// Oldest Node version with what componentize-qjs needs.
const NODE_MAJOR_MIN: u32 = 18;
const COMPONENTIZE: &str = "node_modules/componentize-qjs/bin/componentize-qjs";
/// npm writes this file at the end of an installation.
const INSTALLED: &str = "node_modules/.package-lock.json";

/// The SDK, below `antar-sdk/`.
const SDK: &[(&str, &str)] = sdk! {
    "LICENSE": "LICENSE",
    "wit/plugin.wit": "sdk/wit/plugin.wit",
    "answer.js": "sdk/javascript/answer.js",
    "guest.js": "sdk/javascript/guest.js",
    "index.d.ts": "sdk/javascript/index.d.ts",
    "index.js": "sdk/javascript/index.js",
    "json.js": "sdk/javascript/json.js",
    "log.js": "sdk/javascript/log.js",
    "package.json": "sdk/javascript/package.json",
    "path.js": "sdk/javascript/path.js",
    "phone.js": "sdk/javascript/phone.js",
};

impl Language for Js {
    fn needs(&self) -> &'static str {
        "A build needs Node 18 or later with npm (https://nodejs.org); the first one installs \
         componentize-qjs into the project."
    }

    fn source(&self) -> &'static str {
        "plugin.js"
    }

    fn check_name(&self, _name: &PluginName) -> Result<(), String> {
        Ok(())
    }

    fn files(&self, scaffold: &Scaffold<'_>) -> Vec<(String, String)> {
        let (source, test, fixtures, example) = match scaffold.kind {
            WrittenKind::Filter => (
                template!("javascript/filter/plugin.js.in"),
                template!("javascript/filter/plugin.test.js.in"),
                [
                    ("fixtures/passes.json", template!("rust/filter/passes.json")),
                    ("fixtures/drops.json", template!("javascript/filter/drops.json")),
                ],
                "{any: [vip]}",
            ),
            WrittenKind::Transform => (
                template!("javascript/transform/plugin.js.in"),
                template!("javascript/transform/plugin.test.js.in"),
                [
                    ("fixtures/phone.json", template!("rust/transform/phone.json")),
                    ("fixtures/no-phone.json", template!("rust/transform/no-phone.json")),
                ],
                "{country: ID}",
            ),
        };
        // Package names are lower case in npm.
        let package = scaffold.name.as_str().to_lowercase();
        let words = [("package", package.as_str()), ("example", example)];
        let filled = [
            ("package.json", template!("javascript/package.json.in")),
            ("README.md", template!("javascript/README.md.in")),
            (".gitignore", template!("javascript/gitignore.in")),
            ("plugin.js", source),
            ("plugin.test.js", test),
        ];
        scaffold.project(&filled, &words, &fixtures, ("antar-sdk", SDK))
    }

    fn build(&self, project: &Project, progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
        let folder = &project.folder;
        for name in ["package.json", "plugin.js", "antar-sdk/guest.js"] {
            need_file(folder, name, "JavaScript")?;
        }
        let node = node()?;
        // Node reports the line of a syntax error; componentize-qjs does not.
        let mut check = Command::new(&node);
        if let Err(failed) = run(check.current_dir(folder).args(["--check", "plugin.js"]))? {
            progress(&failed.said);
            bail!("plugin.js is no JavaScript; what node said is above");
        }
        install(folder, progress)?;
        let kind = project.kind.name();
        write(&folder.join("build/entry.js"), &entry(kind))?;
        let made = folder.join("build/entry.wasm");
        progress("componentize-qjs: plugin.js and QuickJS become a component");
        let mut command = Command::new(node);
        command.current_dir(folder).arg(COMPONENTIZE);
        command.args(["--wit", "antar-sdk/wit", "--js", "build/entry.js", "--module-root", "."]);
        command.args(["--world", &format!("{kind}-plugin"), "--sync"]).arg("--output").arg(&made);
        if let Err(failed) = run(&mut command)? {
            progress(&failed.said);
            bail!("componentize-qjs failed; what it said is above");
        }
        Ok(made)
    }
}

/// Source of the component's exports; it imports the author's module.
fn entry(kind: &str) -> String {
    format!(
        "// Made by `antar plugin build`.\n\
         import log from \"antar:plugin/log@1.0.0\";\n\
         import {{ guest }} from \"antar-sdk/guest.js\";\n\
         import * as plugin from \"../plugin.js\";\n\
         export const {kind} = guest(plugin, \"{kind}\", log.write);\n"
    )
}

fn node() -> anyhow::Result<PathBuf> {
    const FIX: &str = "`apt-get install nodejs npm` on Debian and Ubuntu, `brew install node` on \
                       macOS, or https://nodejs.org";
    let node = find(&["node"]);
    let node =
        node.with_context(|| format!("node, which builds JavaScript, is not in the path: {FIX}"))?;
    let version = run(Command::new(&node).arg("--version"))?.unwrap_or_else(|failed| failed.said);
    match major(&version) {
        Some(major) if major >= NODE_MAJOR_MIN => Ok(node),
        _ => bail!(
            "{} is of version {}; version {NODE_MAJOR_MIN} or later is needed: {FIX}",
            node.display(),
            version.trim()
        ),
    }
}

/// Major version of `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Installs the packages in package.json if it is newer than the last installation.
fn install(folder: &Path, progress: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let changed = |name: &str| std::fs::metadata(folder.join(name)).and_then(|m| m.modified()).ok();
    if changed(INSTALLED) >= changed("package.json") && folder.join(COMPONENTIZE).is_file() {
        return Ok(());
    }
    let npm = find(&["npm", "npm.cmd"]).context(
        "npm, which installs componentize-qjs, is not in the path: `apt-get install npm` on Debian and \
         Ubuntu; elsewhere it comes with Node",
    )?;
    progress("npm install: what package.json names, once for each project");
    let mut command = Command::new(npm);
    command.current_dir(folder);
    // Takes packages from npm's cache if another project has brought them there.
    command.args(["install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"]);
    let Err(failed) = run(&mut command)? else { return Ok(()) };
    progress(&failed.said);
    if failed.is_offline() {
        bail!(
            "npm can't reach its registry, and its cache lacks something that package.json names. Try again \
             with a network, or set the registry that you may use: `npm config set registry ADDRESS`"
        );
    }
    bail!("npm install failed; what it said is above")
}

#[cfg(test)]
mod tests {
    use super::super::tests::assert_complete;
    use super::*;

    #[test]
    fn every_file_of_the_sdk_is_here() {
        assert_complete(SDK, "sdk/javascript", file!());
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        let name = "Clean-Phones".parse().unwrap();
        for kind in [WrittenKind::Filter, WrittenKind::Transform] {
            let files = Js.files(&Scaffold { name: &name, kind });
            for (path, text) in files.iter().filter(|(path, _)| !path.starts_with("antar-sdk/")) {
                assert!(!text.contains("{{"), "{path}: {text}");
            }
            let package = files.iter().find(|(path, _)| path == "package.json").unwrap();
            assert!(package.1.contains("\"name\": \"clean-phones\""), "{}", package.1);
        }
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(
            (major("v20.11.1\n"), major("v8.0.0"), major("nonsense")),
            (Some(20), Some(8), None)
        );
    }
}
