//! The floor: one instance for many calls, without any limit. Nothing in Antar does this, since an
//! event would see what an earlier one left.

use std::time::Instant;

use anyhow::Result;
use wasmtime::{
    Config, Engine, Store,
    component::{Component, HasSelf, Linker},
};

use crate::{
    clock::{Sample, line, ns},
    guests::Guests,
};

mod filter {
    wasmtime::component::bindgen!({ path: "../sdk/wit", world: "filter-plugin" });
}

mod transform {
    wasmtime::component::bindgen!({ path: "../sdk/wit", world: "transform-plugin" });
}

struct Silent;

impl filter::antar::plugin::log::Host for Silent {
    fn write(&mut self, _: filter::antar::plugin::log::Level, _: String) {}
}
impl filter::antar::plugin::types::Host for Silent {}
impl transform::antar::plugin::log::Host for Silent {
    fn write(&mut self, _: transform::antar::plugin::log::Level, _: String) {}
}
impl transform::antar::plugin::types::Host for Silent {}

/// Calls of one instance. The SDK's allocator takes nothing back.
const CALLS_OF_ONE: usize = 100;
const INSTANCES: usize = 200;

macro_rules! event {
    ($world:ident, $data:expr) => {
        $world::antar::plugin::types::Event {
            id: "0198f2c1-7d1e-7c30-9d3c-6f8f5f0f3a11".into(),
            event_type: "conversation.created".into(),
            tenant: "acme".into(),
            timestamp: "2026-03-10T12:00:00.000Z".into(),
            attributes: Vec::new(),
            data: $data.into(),
        }
    };
}

pub(crate) fn run(guests: &Guests, data: &str) -> Result<()> {
    let engine = Engine::new(&Config::new())?;
    let component = |wasm: &[u8]| {
        let encoded = wit_component::ComponentEncoder::default().module(wasm)?.encode()?;
        anyhow::Ok(Component::new(&engine, encoded)?)
    };
    let mut took = Vec::new();
    let mut linker = Linker::<Silent>::new(&engine);
    filter::FilterPlugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |silent| silent)?;
    let pre = filter::FilterPluginPre::new(linker.instantiate_pre(&component(&guests.filter)?)?)?;
    for _ in 0..INSTANCES {
        let mut store = Store::new(&engine, Silent);
        let instance = pre.instantiate(&mut store)?;
        for _ in 0..CALLS_OF_ONE {
            let started = Instant::now();
            let event = event!(filter, data);
            instance.antar_plugin_filter().call_run(&mut store, &event, "{}")?.ok();
            took.push(ns(started.elapsed()));
        }
    }
    line("filter, reused instance", &Sample::new(std::mem::take(&mut took)));

    let mut linker = Linker::<Silent>::new(&engine);
    transform::TransformPlugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |silent| silent)?;
    let transform = component(&guests.transform)?;
    let pre = transform::TransformPluginPre::new(linker.instantiate_pre(&transform)?)?;
    for _ in 0..INSTANCES {
        let mut store = Store::new(&engine, Silent);
        let instance = pre.instantiate(&mut store)?;
        for _ in 0..CALLS_OF_ONE {
            let started = Instant::now();
            let event = event!(transform, data);
            instance.antar_plugin_transform().call_run(&mut store, &event, "{}")?.ok();
            took.push(ns(started.elapsed()));
        }
    }
    line("transform, reused instance", &Sample::new(took));
    Ok(())
}
