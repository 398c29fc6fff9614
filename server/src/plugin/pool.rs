//! Pools of slots in which instances are created.
//!
//! There are two pools: plugins in compiled languages need little memory and few microseconds,
//! interpreters a lot of both. Machine code is the same for all engines, so a plugin is compiled
//! before its pool is chosen.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    component::{Component, HasSelf, Linker},
};

use super::{
    CallError, Limits,
    bindings::{direct_log, log},
    compile,
    guest::Guest,
    rewrite::CLEARED_PAGES_MAX,
    shares::SlotCount,
};

/// The two pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolName {
    /// Little memory, many slots: plugins in compiled languages.
    Small,
    /// Much memory, few slots: interpreters.
    Large,
}

/// One pool.
pub(super) struct Pool {
    pub(super) name: PoolName,
    /// A plugin is loaded into the first that suits it.
    pub(super) engines: Vec<Slots>,
    pub(super) slots: SlotCount,
}

/// Slots with one kind of reset. There are as many as [`Pool::slots`] counts.
pub(super) struct Slots {
    pub(super) engine: Engine,
    /// Defines the log. Other imports are added to a clone for each component.
    pub(super) linker: Linker<Guest>,
    reset: Reset,
}

/// How a memory is reset after a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reset {
    /// All of it is zeroed. For a small memory that takes less time than a system call.
    Clear,
    /// Only the written pages, as reported by the kernel. If it can't report them, the pages are
    /// returned to it.
    Find,
}

impl Pool {
    pub(super) fn new(name: PoolName, limits: &Limits) -> wasmtime::Result<Pool> {
        let resets: &[Reset] = match name {
            PoolName::Small => &[Reset::Clear, Reset::Find],
            PoolName::Large => &[Reset::Find],
        };
        let engines = resets.iter().map(|reset| Slots::new(name, *reset, limits));
        let engines = engines.collect::<wasmtime::Result<_>>()?;
        let slots = SlotCount::new(name, limits.pool_instances(name) as usize);
        Ok(Pool { name, engines, slots })
    }
}

impl Slots {
    fn new(name: PoolName, reset: Reset, limits: &Limits) -> wasmtime::Result<Slots> {
        let engine = Engine::new(&engine_config(name, reset, limits))?;
        let mut linker = Linker::new(&engine);
        log::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        direct_log::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        Ok(Slots { engine, linker, reset })
    }

    /// Whether these are the slots for small memories.
    pub(super) fn clears(&self) -> bool {
        self.reset == Reset::Clear
    }

    /// Whether a component's memory is reset fastest here. A memory that is cleared must start
    /// small; it may grow later.
    pub(super) fn suits(&self, component: &Component) -> bool {
        match (self.reset, component.resources_required()) {
            (Reset::Find, _) => true,
            (Reset::Clear, Some(needs)) => {
                let pages = needs.max_initial_memory_size.unwrap_or(0);
                needs.num_memories <= 1 && pages <= CLEARED_PAGES_MAX
            }
            (Reset::Clear, None) => false,
        }
    }
}

/// Creates a store for one instance, with every limit set.
pub(super) fn store(engine: &Engine, limits: &Limits) -> Store<Guest> {
    let mut store = Store::new(engine, Guest::new(limits));
    store.limiter(|guest| guest);
    // Set before instantiation, because the start function counts as well.
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    // Bytes that may be copied out of the guest's memory at once. Without this limit, a list whose
    // elements all point at one long string would fill the host's memory.
    store.set_hostcall_fuel(limits.output_bytes_max.max(limits.about_bytes_max) * 2);
    store
}

/// Waits for one of `slots`.
pub(super) async fn permit(
    slots: &Semaphore,
    wait_time_ms: u64,
) -> Result<SemaphorePermit<'_>, CallError> {
    if let Ok(permit) = slots.try_acquire() {
        return Ok(permit);
    }
    let busy = || CallError::Busy { waited_ms: wait_time_ms };
    let waited = tokio::time::timeout(Duration::from_millis(wait_time_ms), slots.acquire()).await;
    waited.map_err(|_| busy())?.map_err(|_| busy())
}

/// Settings that measured best for many short-lived instances.
fn engine_config(name: PoolName, reset: Reset, limits: &Limits) -> Config {
    let scan = reset == Reset::Find && PoolingAllocationConfig::is_pagemap_scan_available();
    let mut pool = PoolingAllocationConfig::default();
    let count = limits.pool_instances(name);
    // A component made from one module has up to three core instances. Python's has one for each
    // library.
    let (cores_per_call, tables_per_call) = match name {
        PoolName::Small => (16, 8),
        PoolName::Large => (64, 16),
    };
    // One holds the guest's data; tool chains add small ones for their adapter modules.
    let memories_per_call = if reset == Reset::Clear { 1 } else { 4 };
    let keep_bytes = match (reset, name) {
        // Also covers a memory that has grown a little.
        (Reset::Clear, _) => 512 << 10,
        // Without `PAGEMAP_SCAN` (Linux 6.7 and later) this would be a `memset` of the whole range.
        (Reset::Find, _) if !scan => 0,
        // Resetting the touched pages is cheaper than returning them to the kernel.
        (Reset::Find, PoolName::Small) => 256 << 10,
        (Reset::Find, PoolName::Large) => 8 << 20,
    };
    let warm = match (reset, name) {
        // Any cleared memory serves any plugin.
        (Reset::Clear, _) => count,
        (Reset::Find, PoolName::Small) => limits.warm_memories_max,
        // One for each slot: interpreters are few, and their memories take a lot to keep.
        (Reset::Find, PoolName::Large) => count,
    };
    pool.total_component_instances(count)
        .total_core_instances(count.saturating_mul(cores_per_call))
        .total_memories(count.saturating_mul(memories_per_call).saturating_add(warm))
        .max_unused_warm_slots(warm)
        .total_tables(count.saturating_mul(tables_per_call))
        .total_stacks(count)
        .max_core_instances_per_component(cores_per_call)
        .max_memories_per_component(memories_per_call)
        .max_tables_per_component(tables_per_call)
        .max_tables_per_module(tables_per_call)
        .max_memory_size(limits.pool_memory_bytes(name))
        .table_elements(limits.table_elements_max)
        .linear_memory_keep_resident(keep_bytes)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(64 << 10)
        .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
    let mut config = compile::machine_code::engine_config();
    config
        .max_wasm_stack(limits.stack_bytes_max)
        // Host functions run on the same stack, beyond the part that the guest may use.
        .async_stack_size(limits.stack_bytes_max + (1 << 20))
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
