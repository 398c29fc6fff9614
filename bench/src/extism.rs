//! The same work in Extism, compiled once, with a fresh and with a reused plugin.

use anyhow::Result;
use extism::{CompiledPlugin, Manifest, Plugin, PluginBuilder, Wasm};

use crate::{
    clock::{line, sample},
    guests::Guests,
};

pub(crate) fn run(guests: &Guests, data: &str) -> Result<()> {
    let manifest = Manifest::new([Wasm::data(guests.extism.clone())]);
    let compiled = CompiledPlugin::new(PluginBuilder::new(manifest).with_wasi(false))?;
    for name in ["filter", "transform"] {
        let mut plugin = Plugin::new_from_compiled(&compiled)?;
        let took = sample(10_000, || plugin.call::<_, String>(name, data).map(drop))?;
        line(&format!("{name}, Extism, reused instance"), &took);
        let took = sample(2_000, || {
            let mut plugin = Plugin::new_from_compiled(&compiled)?;
            plugin.call::<_, String>(name, data).map(drop)
        })?;
        line(&format!("{name}, Extism, fresh instance"), &took);
    }
    Ok(())
}
