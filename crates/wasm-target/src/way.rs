//! The four ways to get a tool chain.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    TRIPLE, WasmTarget,
    command::{output, run},
};

/// `rustup` downloads some 20 MB.
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);
const APT_UPDATE_LIMIT: Duration = Duration::from_secs(180);
/// Debian's compiler and sources are some 150 MB.
const APT_INSTALL_LIMIT: Duration = Duration::from_secs(900);
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];

/// A way to get a tool chain for the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Installed,
    Rustup,
    RustSrc,
    Debian,
}

/// Why there is no tool chain, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum NoWasmTarget {
    #[error("ANTAR_WASM_TARGET is {0:?}; it can be installed, rustup, rust-src or debian")]
    UnknownWay(String),
    #[error("there is no `rustc`: install Rust, https://rustup.rs")]
    NoRust,
    #[error("{}", explain(.0))]
    NoWay(Vec<(Way, String)>),
}

fn explain(tried: &[(Way, String)]) -> String {
    let mut text = format!("no Rust tool chain for {TRIPLE} was found or could be made:\n");
    for (way, why) in tried {
        text.push_str(&format!("  {way}: {why}\n"));
    }
    text.push_str(&format!(
        "One of these gives one: `rustup target add {TRIPLE}`, `rustup component add rust-src`, or \
         on Debian as root `apt-get update && apt-get install -y --no-install-recommends {}`",
        DEBIAN_PACKAGES.join(" ")
    ));
    text
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Way {
    /// All ways, the cheapest first.
    pub const ALL: [Way; 4] = [Way::Installed, Way::Rustup, Way::RustSrc, Way::Debian];

    /// The value for `ANTAR_WASM_TARGET`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Way::Installed => "installed",
            Way::Rustup => "rustup",
            Way::RustSrc => "rust-src",
            Way::Debian => "debian",
        }
    }

    #[must_use]
    pub fn named(name: &str) -> Option<Way> {
        Way::ALL.into_iter().find(|way| way.name() == name)
    }

    /// Sets up the tool chain, or returns why that is impossible.
    pub(crate) fn open(self, progress: &mut dyn FnMut(&str)) -> Result<WasmTarget, String> {
        match self {
            Way::Installed if is_installed() => Ok(self.with_std_as_it_is()),
            Way::Installed => Err("the compiler has no standard library for it".into()),
            Way::Rustup => {
                rustup(&["target", "add", TRIPLE], progress)?;
                is_installed()
                    .then(|| self.with_std_as_it_is())
                    .ok_or_else(|| "rustup added it to another compiler than `rustc`".into())
            }
            Way::RustSrc => {
                let sysroot = sysroot("rustc").ok_or("there is no `rustc`")?;
                if !has_sources(&sysroot) {
                    rustup(&["component", "add", "rust-src"], progress)?;
                }
                if !has_sources(&sysroot) {
                    return Err(format!("no sources in {}", sysroot.display()));
                }
                Ok(self.with_std_built(Vec::new()))
            }
            Way::Debian => {
                install_debian(progress)?;
                let mut environment = vec![("RUSTC", DEBIAN_RUSTC.into())];
                // Debian's compiler comes without a linker for WASM.
                if let Some(linker) = rust_lld() {
                    environment.push(("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker.into()));
                } else if output("wasm-ld", &["--version"]).is_none() {
                    return Err("there is neither rustup's rust-lld nor a wasm-ld".into());
                }
                Ok(self.with_std_built(environment))
            }
        }
    }

    fn with_std_as_it_is(self) -> WasmTarget {
        WasmTarget { way: self, build_std: false, environment: Vec::new() }
    }

    fn with_std_built(self, mut environment: Vec<(&'static str, OsString)>) -> WasmTarget {
        // -Zbuild-std is unstable; this permits it with a stable cargo and compiler.
        environment.push(("RUSTC_BOOTSTRAP", "1".into()));
        WasmTarget { way: self, build_std: true, environment }
    }
}

/// Whether there is a compiler at all.
pub(crate) fn has_rust() -> bool {
    output("rustc", &["--version"]).is_some() || Path::new(DEBIAN_RUSTC).exists()
}

fn is_installed() -> bool {
    let directory = output("rustc", &["--print", "target-libdir", "--target", TRIPLE]);
    let entries = directory.and_then(|directory| std::fs::read_dir(directory).ok());
    entries.into_iter().flatten().flatten().any(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("libstd-")
    })
}

fn sysroot(rustc: &str) -> Option<PathBuf> {
    output(rustc, &["--print", "sysroot"]).map(PathBuf::from)
}

fn has_sources(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file()
}

fn rust_lld() -> Option<PathBuf> {
    let version = output("rustc", &["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "))?;
    let linker = sysroot("rustc")?.join("lib/rustlib").join(host).join("bin/rust-lld");
    linker.is_file().then_some(linker)
}

fn rustup(arguments: &[&str], progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    if output("rustup", &["--version"]).is_none() {
        return Err("there is no rustup".into());
    }
    progress(&format!("running rustup {}", arguments.join(" ")));
    run(Command::new("rustup").args(arguments), RUSTUP_LIMIT)
}

fn install_debian(progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    let is_there = || sysroot(DEBIAN_RUSTC).is_some_and(|sysroot| has_sources(&sysroot));
    if is_there() {
        return Ok(());
    }
    if !Path::new("/etc/debian_version").exists() {
        return Err("this is no Debian".into());
    }
    let mut apt_get =
        apt_get().ok_or("installing packages needs root, or sudo that does not ask")?;
    progress("running apt-get update");
    // An update may fail on another list than the one that is needed, so the installation decides.
    let updated = run(apt_get().arg("update"), APT_UPDATE_LIMIT);
    progress(&format!("installing Debian's {}", DEBIAN_PACKAGES.join(" and ")));
    let mut install = apt_get();
    install.args(["install", "-y", "--no-install-recommends"]).args(DEBIAN_PACKAGES);
    run(&mut install, APT_INSTALL_LIMIT).map_err(|why| match updated {
        Ok(()) => why,
        Err(update) => format!("{why} (before that, apt-get update: {update})"),
    })?;
    is_there().then_some(()).ok_or_else(|| "the packages brought no sources".into())
}

/// Makes `apt-get` commands with the right to install. None without root or a passwordless `sudo`.
fn apt_get() -> Option<impl FnMut() -> Command> {
    let is_root = output("id", &["-u"])? == "0";
    if !is_root {
        output("sudo", &["-n", "true"])?;
    }
    Some(move || {
        let mut command = if is_root {
            Command::new("apt-get")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "apt-get"]);
            sudo
        };
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_has_a_word_of_its_own() {
        for way in Way::ALL {
            assert_eq!(Way::named(way.name()), Some(way));
        }
        assert_eq!(Way::named("magic"), None);
    }

    #[test]
    fn without_any_way_the_fix_is_named() {
        let error = WasmTarget::find_among(&[], &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("rustup target add wasm32-unknown-unknown"), "{error}");
        let tried = vec![(Way::Rustup, "no network".to_owned())];
        let error = NoWasmTarget::NoWay(tried).to_string();
        assert!(error.contains("rustup: no network"), "{error}");
    }
}
