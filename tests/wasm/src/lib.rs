//! Plugins for tests, as WASM files.
//!
//! All are compiled at once, by the first test of a process that asks; cargo then finds that
//! nothing changed in a fraction of a second.

#![expect(clippy::panic, reason = "this is for tests, and a panic is how a test fails")]

mod forged;

pub use forged::filter;

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use antar_wasm_target::{Build, WasmTarget};

/// The plugins that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    ByInbox,
    ByLabel,
    Redact,
    Reshape,
    /// A transform without the SDK that does what its config's `mode` says. See its source.
    Hostile,
    /// A filter without the SDK that imports WASI and calls the part that its config names.
    Wasi,
    /// A transform with the SDK: typed data, logs, a panic.
    Typed,
}

impl Guest {
    /// The plugins that come with Antar.
    pub const BUNDLED: [Guest; 4] = [Guest::ByInbox, Guest::ByLabel, Guest::Redact, Guest::Reshape];

    const ALL: [Guest; 7] = [
        Guest::ByInbox,
        Guest::ByLabel,
        Guest::Redact,
        Guest::Reshape,
        Guest::Hostile,
        Guest::Wasi,
        Guest::Typed,
    ];

    /// The package's name, which is the plugin's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Guest::ByInbox => "by-inbox",
            Guest::ByLabel => "by-label",
            Guest::Redact => "redact",
            Guest::Reshape => "reshape",
            Guest::Hostile => "antar-guest-hostile",
            Guest::Wasi => "antar-guest-wasi",
            Guest::Typed => "antar-guest-typed",
        }
    }

    /// The compiled module.
    ///
    /// # Panics
    /// With the compiler's words when it doesn't compile; with the fix when there is no tool chain.
    #[must_use]
    pub fn wasm(self) -> Vec<u8> {
        let path = self.path();
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The compiled module's file.
    ///
    /// # Panics
    /// As [`Guest::wasm`].
    #[must_use]
    pub fn path(self) -> PathBuf {
        static BUILT: OnceLock<Vec<PathBuf>> = OnceLock::new();
        let files = BUILT.get_or_init(build);
        let index = Guest::ALL.iter().position(|guest| *guest == self).unwrap_or_default();
        files[index].clone()
    }

    /// Example events and answers of a bundled plugin, as [`antar-sdk`'s testing] describes them.
    ///
    /// [`antar-sdk`'s testing]: ../antar_sdk/testing/index.html
    #[must_use]
    pub fn fixtures(self) -> PathBuf {
        root().join("plugins").join(self.name()).join("fixtures")
    }
}

/// A component written as text, which may be forged in ways that no compiler would.
///
/// # Panics
/// When the text is wrong.
#[must_use]
pub fn from_text(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|e| panic!("{e}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn build() -> Vec<PathBuf> {
    let target = WasmTarget::find(&mut |line| eprintln!("{line}"));
    let target = target.unwrap_or_else(|e| panic!("{e}"));
    let build = Build {
        manifest: &root().join("Cargo.toml"),
        packages: &Guest::ALL.map(Guest::name),
        // Not `target` itself: the cargo that runs the tests may hold its lock.
        target_dir: &root().join("target/guests"),
        profile: "guest",
    };
    let files = target.cargo_build(&build, &mut |line| eprintln!("{line}"));
    files.unwrap_or_else(|e| panic!("{e}"))
}
