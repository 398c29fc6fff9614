//! Builds a tiny crate with a tool chain that is found on this machine.

#![expect(clippy::unwrap_used, reason = "a failure is what the test is for")]

use std::{fs, path::Path};

use antar_wasm_target::{Build, BuildError, WasmTarget};

fn write_crate(folder: &Path, source: &str) {
    fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = "[package]\nname = \"tiny\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n\
                    [profile.release]\npanic = \"abort\"\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.join("src/lib.rs"), source).unwrap();
}

/// Set `ANTAR_WASM_TARGET` to test a way other than the first that works here.
#[test]
fn a_crate_becomes_a_wasm_file_and_an_error_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let target = WasmTarget::find(&mut |line| eprintln!("{line}")).unwrap();
    let manifest = folder.path().join("Cargo.toml");
    let target_dir = folder.path().join("target");
    let build =
        Build { manifest: &manifest, packages: &[], target_dir: &target_dir, profile: "release" };

    write_crate(folder.path(), "#[unsafe(no_mangle)]\npub extern \"C\" fn one() -> i32 { 1 }\n");
    let files = target.cargo_build(&build, &mut |line| eprintln!("{line}")).unwrap();
    assert_eq!(files.len(), 1);
    assert!(fs::read(&files[0]).unwrap().starts_with(b"\0asm"), "{:?}", files[0]);

    write_crate(folder.path(), "pub fn one() -> i32 { \"one\" }\n");
    let failed = target.cargo_build(&build, &mut |_| {}).unwrap_err();
    assert!(matches!(&failed, BuildError::Failed(_)));
    assert!(failed.to_string().contains("mismatched types"), "{failed}");
}
