//! WASM guests, compiled from source: the bundled plugins and the tests' own.

use std::path::{Path, PathBuf};

use antar_wasm_target::{Build, WasmTarget};
use anyhow::{Context, Result, bail};

/// A tool chain that can build them.
pub(crate) struct Guests {
    target: WasmTarget,
}

/// A compiled guest.
pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) wasm: PathBuf,
}

impl Guests {
    pub(crate) fn find(say: &mut dyn FnMut(&str)) -> Result<Guests> {
        let target = WasmTarget::find(say)?;
        say(&format!("WASM target: {}", target.way()));
        Ok(Guests { target })
    }

    /// Compiles the bundled plugins and the test guests; returns how many there are.
    pub(crate) fn build_all(&self, root: &Path, say: &mut dyn FnMut(&str)) -> Result<usize> {
        let plugins = self.build(root, "plugins", say)?;
        let guests = self.build(root, "tests/wasm", say)?;
        Ok(plugins.len() + guests.len())
    }

    /// Compiles every crate below `folder`, each to a guest named like its folder.
    pub(crate) fn build(
        &self,
        root: &Path,
        folder: &str,
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<Guest>> {
        let folder = root.join(folder);
        let names = crates(&folder)?;
        if names.is_empty() {
            bail!("there are no crates in {}", folder.display());
        }
        let workspace = folder.join("Cargo.toml");
        let manifest = if workspace.is_file() { workspace } else { root.join("Cargo.toml") };
        say(&format!("compiling {} (the first time takes a minute or two)", names.join(", ")));
        let packages: Vec<_> = names.iter().map(String::as_str).collect();
        let target_dir = root.join("target/wasm");
        let build = Build {
            manifest: &manifest,
            packages: &packages,
            target_dir: &target_dir,
            profile: "release",
        };
        let files = self.target.cargo_build(&build, &mut |_| {})?;
        Ok(names.into_iter().zip(files).map(|(name, wasm)| Guest { name, wasm }).collect())
    }
}

/// Names of the subfolders with a crate that becomes a WASM module, sorted.
fn crates(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let is_guest = |path: &PathBuf| {
        std::fs::read_to_string(path.join("Cargo.toml")).is_ok_and(|text| text.contains("cdylib"))
    };
    let mut names: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(is_guest)
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}
