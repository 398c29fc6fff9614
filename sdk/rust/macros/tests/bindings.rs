//! The stored bindings match the WIT contract.

#![expect(clippy::unwrap_used, reason = "a failure is what the test is for")]

use std::path::Path;

use wit_bindgen_core::{Files, WorldGenerator as _, wit_parser::Resolve};
use wit_bindgen_rust::Opts;

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

fn bindings(world: &str) -> String {
    let mut resolve = Resolve::default();
    let contract = Path::new(FOLDER).join("../../wit/plugin.wit");
    let package = resolve.push_file(contract).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut files = Files::default();
    let options = Opts {
        format: true,
        runtime_path: Some("::antar_sdk::__private::wit_bindgen::rt".into()),
        ..Opts::default()
    };
    options.build().generate(&mut resolve, world, &mut files).unwrap();
    let (_, bytes) = files.iter().next().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// After a change of the contract or of wit-bindgen, run `ANTAR_BINDINGS=write cargo test`.
#[test]
fn they_are_what_wit_bindgen_makes() {
    for kind in ["filter", "transform"] {
        let path = Path::new(FOLDER).join("bindings").join(format!("{kind}.txt"));
        let made = bindings(&format!("{kind}-plugin"));
        if std::env::var_os("ANTAR_BINDINGS").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap();
        let fix = "run ANTAR_BINDINGS=write cargo test -p antar-sdk-macros --test bindings";
        assert!(kept == made, "{}: {fix}", path.display());
    }
}
