//! Finds or sets up a Rust tool chain for `wasm32-unknown-unknown`, and builds with it.
//!
//! Plugins are compiled for a target that a fresh Rust installation lacks, and `rustup target add`
//! may be impossible: its server can't be reached, or Rust was installed without rustup. So there
//! are four [`Way`]s, tried in this order:
//!
//! 1. the target is installed beside the compiler;
//! 2. `rustup target add` installs it;
//! 3. the compiler's own `rust-src` is there, or `rustup component add` installs it: cargo builds
//!    the standard library from it (`-Zbuild-std`);
//! 4. Debian's packages `rustc-web` and `rust-web-src`: the same with Debian's compiler. They are
//!    installed only as root or with a `sudo` that asks for no password.
//!
//! `ANTAR_WASM_TARGET` set to `installed`, `rustup`, `rust-src` or `debian` tries that way alone.

mod cargo_build;
mod command;
mod way;

pub use cargo_build::{Build, BuildError};
pub use way::{NoWasmTarget, Way};

use std::{ffi::OsString, path::PathBuf};

/// The target triple.
pub const TRIPLE: &str = "wasm32-unknown-unknown";

/// A tool chain that can build for the target.
#[derive(Clone, Debug)]
pub struct WasmTarget {
    way: Way,
    /// Whether the standard library is built as well.
    build_std: bool,
    environment: Vec<(&'static str, OsString)>,
}

impl WasmTarget {
    /// Takes the first way that works. Calls `progress` with a sentence before any step that takes
    /// long or changes the machine. Takes milliseconds if the tool chain is there, otherwise up to
    /// minutes.
    pub fn find(progress: &mut dyn FnMut(&str)) -> Result<WasmTarget, NoWasmTarget> {
        let ways = match std::env::var("ANTAR_WASM_TARGET") {
            Ok(name) => vec![Way::named(&name).ok_or(NoWasmTarget::UnknownWay(name))?],
            Err(_) => Way::ALL.to_vec(),
        };
        if !way::has_rust() {
            return Err(NoWasmTarget::NoRust);
        }
        WasmTarget::find_among(&ways, progress)
    }

    /// The same with only these ways, in this order.
    pub fn find_among(
        ways: &[Way],
        progress: &mut dyn FnMut(&str),
    ) -> Result<WasmTarget, NoWasmTarget> {
        let mut tried = Vec::new();
        for &way in ways {
            match way.open(progress) {
                Ok(target) => return Ok(target),
                Err(why) => tried.push((way, why)),
            }
        }
        Err(NoWasmTarget::NoWay(tried))
    }

    /// The way by which it was found.
    #[must_use]
    pub fn way(&self) -> Way {
        self.way
    }

    /// Compiles packages to `.wasm` files and returns their paths, in the order of `packages` if
    /// any are given. Calls `progress` with each line of cargo's output.
    pub fn cargo_build(
        &self,
        build: &Build<'_>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<PathBuf>, BuildError> {
        cargo_build::run(self, build, progress)
    }
}
