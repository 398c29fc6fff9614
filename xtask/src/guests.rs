//! WASM guests, compiled from source: the bundled plugins and the tests' own.

use std::path::{Path, PathBuf};

use antar_wasm_target::{Build, WasmTarget};
use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{cargo, read};

/// A toolchain that can build them.
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

    /// Compiles every guest whose source is below `folder`.
    pub(crate) fn build(
        &self,
        root: &Path,
        folder: &str,
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<Guest>> {
        let names = packages(root, &root.join(folder))?;
        if names.is_empty() {
            bail!("there are no guests in {folder}");
        }
        say(&format!("compiling {} (the first time takes a minute or two)", names.join(", ")));
        let packages: Vec<_> = names.iter().map(String::as_str).collect();
        let build = Build {
            manifest: &root.join("Cargo.toml"),
            packages: &packages,
            target_dir: &root.join("target/guests"),
            profile: "guest",
        };
        let files = self.target.cargo_build(&build, &mut |_| {})?;
        Ok(names.into_iter().zip(files).map(|(name, wasm)| Guest { name, wasm }).collect())
    }
}

/// Names of the packages below `folder` that are compiled to a WASM module.
fn packages(root: &Path, folder: &Path) -> Result<Vec<String>> {
    let words = ["metadata", "--locked", "--no-deps", "--format-version", "1"];
    let metadata: Value = serde_json::from_str(&read(cargo(root).args(words))?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let is_guest = |package: &&Value| {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let kinds = package["targets"].as_array().into_iter().flatten().map(|t| &t["kind"]);
        let mut kinds = kinds.filter_map(Value::as_array).flatten();
        manifest.starts_with(folder) && kinds.any(|kind| kind == "cdylib")
    };
    let names = packages.iter().filter(is_guest).filter_map(|package| package["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}
