//! Pools of slots that instances are made in.
//!
//! There are two: compiled languages need little memory and few microseconds, interpreters a lot of
//! both. Machine code is the same for all engines, so a plugin is compiled before it is known where
//! it goes.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    component::{Component, HasSelf, Linker},
};

use super::{
    CallError, Limits,
    bindings::{direct_log, log},
    guest::Guest,
    rewrite::CLEARED_PAGES_MAX,
};

/// The two pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolName {
    /// Little memory, many slots: plugins in compiled languages.
    Small,
    /// Much memory, few slots: interpreters.
    Large,
}

/// One pool: as many permits as it has slots. (An exhausted engine is an error, it does not wait.)
pub(super) struct Pool {
    pub(super) name: PoolName,
    /// A plugin goes into the first that takes it.
    pub(super) engines: Vec<Slots>,
    permits: Semaphore,
}

/// Slots of one kind. There are as many as the pool has permits.
pub(super) struct Slots {
    pub(super) engine: Engine,
    /// With the log. What else a component imports is added for it alone.
    pub(super) linker: Linker<Guest>,
    reset: Reset,
}

/// How a memory is made new after a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reset {
    /// All of it is cleared. For small ones, that takes less time than a system call.
    Clear,
    /// The kernel says what was written; where it can't, it gets the pages back.
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
        let permits = Semaphore::new(limits.pool_instances(name) as usize);
        Ok(Pool { name, engines, permits })
    }

    /// A slot, for as long as the permit is held.
    pub(super) async fn slot(&self, wait_time_ms: u64) -> Result<SemaphorePermit<'_>, CallError> {
        permit(&self.permits, wait_time_ms).await
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

    /// Whether they are those for small memories.
    pub(super) fn clears(&self) -> bool {
        self.reset == Reset::Clear
    }

    /// Whether this is where its memory is made new soonest. What is cleared must be small when it
    /// begins; it may grow later.
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

/// A store with every limit set, for one instance.
pub(super) fn store(engine: &Engine, limits: &Limits) -> Store<Guest> {
    let mut store = Store::new(engine, Guest::new(limits));
    store.limiter(|guest| guest);
    // Before an instance is made: its start function counts as well.
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    // What the guest may have copied out of its memory at once. Without it, a list whose
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

/// The settings measured best for many short-lived instances.
fn engine_config(name: PoolName, reset: Reset, limits: &Limits) -> Config {
    let scan = reset == Reset::Find && PoolingAllocationConfig::is_pagemap_scan_available();
    let mut pool = PoolingAllocationConfig::default();
    let count = limits.pool_instances(name);
    // A component made of one module has up to three core instances. Python's has one for each
    // library.
    let (cores_per_call, tables_per_call) = match name {
        PoolName::Small => (16, 8),
        PoolName::Large => (64, 16),
    };
    // One holds the guest's data; tool chains add small ones for what they put between modules.
    let memories_per_call = if reset == Reset::Clear { 1 } else { 4 };
    let keep_bytes = match (reset, name) {
        // Also of a guest that took some more, once.
        (Reset::Clear, _) => 512 << 10,
        // Without the kernel's scan (6.7 and later) that would be a memset of the whole range.
        (Reset::Find, _) if !scan => 0,
        // Resetting what a guest touched is cheaper than giving pages back.
        (Reset::Find, PoolName::Small) => 256 << 10,
        (Reset::Find, PoolName::Large) => 8 << 20,
    };
    let warm = match (reset, name) {
        // Any of them does for any plugin.
        (Reset::Clear, _) => count,
        (Reset::Find, PoolName::Small) => limits.warm_memories_max,
        // Interpreters are few, and take a lot to keep.
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
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .wasm_backtrace_max_frames(None)
        .max_wasm_stack(limits.stack_bytes_max)
        // Host functions run on the same stack, above what the guest may use.
        .async_stack_size(limits.stack_bytes_max + (1 << 20))
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
