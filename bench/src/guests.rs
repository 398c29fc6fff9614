//! The guests, compiled from source.

use std::path::Path;

use antar_wasm_target::{Build, WasmTarget};
use anyhow::{Result, anyhow};

pub(crate) struct Guests {
    /// Looks at nothing but the type.
    pub(crate) type_filter: Vec<u8>,
    pub(crate) filter: Vec<u8>,
    pub(crate) transform: Vec<u8>,
    /// Compiled for size, not for speed.
    pub(crate) small_filter: Vec<u8>,
    pub(crate) small_transform: Vec<u8>,
    /// With Rust's own allocator.
    pub(crate) plain: Vec<u8>,
    #[cfg(feature = "extism")]
    pub(crate) extism: Vec<u8>,
}

impl Guests {
    pub(crate) fn build() -> Result<Guests> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = WasmTarget::find(&mut |line| eprintln!("{line}"))?;
        // One by one: together, features of one would be those of all.
        let wasm = |package: &str, profile: &str| {
            let build = Build {
                manifest: &root.join("Cargo.toml"),
                packages: &[package],
                target_dir: &root.join("target/guests"),
                profile,
            };
            let files = target.cargo_build(&build, &mut |line| eprintln!("{line}"))?;
            let file = files.first().ok_or_else(|| anyhow!("{package} gave no module"))?;
            anyhow::Ok(std::fs::read(file)?)
        };
        Ok(Guests {
            type_filter: wasm("bench-guest-by-type", "guest")?,
            filter: wasm("bench-guest-filter", "guest")?,
            transform: wasm("bench-guest-transform", "guest")?,
            small_filter: wasm("bench-guest-filter", "guest-small")?,
            small_transform: wasm("bench-guest-transform", "guest-small")?,
            plain: wasm("bench-guest-plain", "guest")?,
            #[cfg(feature = "extism")]
            extism: wasm("bench-guest-extism", "guest")?,
        })
    }
}
