//! What the engine itself takes: synchronous calls without Antar around them. With one instance
//! for all of them, which nothing in Antar does, since an event would see what an earlier one left;
//! and with a fresh one for each, as Antar does it.

use std::time::Instant;

use anyhow::Result;
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreLimits,
    StoreLimitsBuilder,
    component::{Component, HasSelf, Linker},
};

use crate::{
    clock::{Lines, ns},
    fresh,
    guests::Guests,
};

mod filter {
    wasmtime::component::bindgen!({ path: "../sdk/wit", world: "filter-plugin" });
}

mod transform {
    wasmtime::component::bindgen!({ path: "../sdk/wit", world: "transform-plugin" });
}

/// A guest's log goes nowhere.
struct Silent(StoreLimits);

impl filter::antar::plugin::log::Host for Silent {
    fn write(&mut self, _: filter::antar::plugin::log::Level, _: String) {}
}
impl filter::antar::plugin::types::Host for Silent {}
impl transform::antar::plugin::log::Host for Silent {
    fn write(&mut self, _: transform::antar::plugin::log::Level, _: String) {}
}
impl transform::antar::plugin::types::Host for Silent {}

/// How many calls one instance serves.
#[derive(Clone, Copy)]
pub(crate) enum Instances {
    /// A hundred: the SDK's allocator takes nothing back.
    Reused,
    /// One.
    Fresh,
}

impl Instances {
    const REUSES: usize = 100;

    fn name(self) -> &'static str {
        match self {
            Instances::Reused => "reused instance, the engine alone",
            Instances::Fresh => "fresh instance, the engine alone",
        }
    }

    /// The settings that were measured best for each, with guests as small as these.
    fn engine(self) -> wasmtime::Result<Engine> {
        let mut config = Config::new();
        if let Instances::Fresh = self {
            let mut pool = PoolingAllocationConfig::default();
            pool.max_memory_size(16 << 20).linear_memory_keep_resident(512 << 10);
            pool.table_keep_resident(64 << 10);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
            config.epoch_interruption(true).wasm_backtrace_max_frames(None);
        }
        Engine::new(&config)
    }

    fn store(self, engine: &Engine) -> Store<Silent> {
        let limits = StoreLimitsBuilder::new().memory_size(16 << 20).build();
        let mut store = Store::new(engine, Silent(limits));
        if let Instances::Fresh = self {
            store.limiter(|silent| &mut silent.0);
            store.set_epoch_deadline(1);
        }
        store
    }
}

/// A round of calls of one world: its own types, which no trait has in common.
macro_rules! round {
    ($world:ident, $plugin:ident, $pre:ident, $interface:ident, $wasm:expr, $data:expr, $instances:expr) => {{
        let engine = $instances.engine()?;
        let encoded = wit_component::ComponentEncoder::default().module($wasm)?.encode()?;
        let component = Component::new(&engine, encoded)?;
        let mut linker = Linker::<Silent>::new(&engine);
        $world::$plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |silent| silent)?;
        let pre = $world::$pre::new(linker.instantiate_pre(&component)?)?;
        let call = fresh::call($data);
        let event = move || $world::antar::plugin::types::Event {
            id: call.id.into(),
            event_type: call.event_type.into(),
            tenant: call.tenant.into(),
            timestamp: call.timestamp.into(),
            attributes: call.attributes.to_vec(),
            data: call.data.into(),
        };
        move |count| {
            let mut took = Vec::with_capacity(count);
            while took.len() < count {
                let begun = Instant::now();
                let mut store = $instances.store(&engine);
                let instance = pre.instantiate(&mut store)?;
                let plugin = instance.$interface();
                match $instances {
                    Instances::Fresh => {
                        plugin.call_run(&mut store, &event(), call.config)?.ok();
                        drop(store);
                        took.push(ns(begun.elapsed()));
                    }
                    Instances::Reused => {
                        for _ in 0..Instances::REUSES.min(count - took.len()) {
                            let started = Instant::now();
                            plugin.call_run(&mut store, &event(), call.config)?.ok();
                            took.push(ns(started.elapsed()));
                        }
                    }
                }
            }
            Ok(took)
        }
    }};
}

pub(crate) fn add<'a>(
    lines: &mut Lines<'a>,
    guests: &Guests,
    data: &'a str,
    instances: Instances,
) -> Result<()> {
    for (name, wasm) in [("filter by type", &guests.type_filter), ("filter", &guests.filter)] {
        lines.add(
            format!("{name}, {}", instances.name()),
            round!(
                filter,
                FilterPlugin,
                FilterPluginPre,
                antar_plugin_filter,
                wasm,
                data,
                instances
            ),
        );
    }
    lines.add(
        format!("transform, {}", instances.name()),
        round!(
            transform,
            TransformPlugin,
            TransformPluginPre,
            antar_plugin_transform,
            &guests.transform,
            data,
            instances
        ),
    );
    Ok(())
}
