//! The same work in Extism, compiled once, with a fresh and with a reused plugin.

use anyhow::Result;
use extism::{CompiledPlugin, Manifest, Plugin, PluginBuilder, Wasm};

use crate::{
    clock::{Lines, calls},
    guests::Guests,
};

pub(crate) fn add<'a>(lines: &mut Lines<'a>, guests: &Guests, data: &'a str) -> Result<()> {
    let manifest = Manifest::new([Wasm::data(guests.extism.clone())]);
    for name in ["filter", "transform"] {
        let builder = PluginBuilder::new(manifest.clone()).with_wasi(false);
        let compiled = CompiledPlugin::new(builder)?;
        let mut reused = Plugin::new_from_compiled(&compiled)?;
        lines.add(
            format!("{name}, Extism, reused instance"),
            calls(move || reused.call::<_, String>(name, data).map(drop)),
        );
        let fresh = move || {
            let mut plugin = Plugin::new_from_compiled(&compiled)?;
            plugin.call::<_, String>(name, data).map(drop)
        };
        lines.add(format!("{name}, Extism, fresh instance"), calls(fresh));
    }
    Ok(())
}
