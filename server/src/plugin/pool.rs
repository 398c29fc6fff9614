//! Pools of slots that instances are made in.
//!
//! There are two: compiled languages need little memory and few microseconds, interpreters a lot of
//! both. Machine code is the same for both, so a plugin is compiled before it is known where it
//! goes.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    component::{HasSelf, Linker},
};

use super::{CallError, Limits, bindings::log, guest::Guest};

/// The two pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolName {
    /// Little memory, many slots: plugins in compiled languages.
    Small,
    /// Much memory, few slots: interpreters.
    Large,
}

/// One pool: an engine, and as many permits as it has slots. (An exhausted pool is an error, it
/// does not wait.)
pub(super) struct Pool {
    pub(super) name: PoolName,
    pub(super) engine: Engine,
    /// With the log. What else a component imports is added for it alone.
    pub(super) linker: Linker<Guest>,
    slots: Semaphore,
}

impl Pool {
    pub(super) fn new(name: PoolName, limits: &Limits) -> wasmtime::Result<Pool> {
        let engine = Engine::new(&engine_config(name, limits))?;
        let mut linker = Linker::new(&engine);
        log::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        let slots = Semaphore::new(limits.pool_instances(name) as usize);
        Ok(Pool { name, engine, linker, slots })
    }

    /// A slot, for as long as the permit is held.
    pub(super) async fn slot(&self, wait_time_ms: u64) -> Result<SemaphorePermit<'_>, CallError> {
        permit(&self.slots, wait_time_ms).await
    }

    /// A store with every limit set, for one instance.
    pub(super) fn store(&self, limits: &Limits) -> Store<Guest> {
        let mut store = Store::new(&self.engine, Guest::new(limits));
        store.limiter(|guest| guest);
        // Before an instance is made: its start function counts as well.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        // What the guest may have copied out of its memory at once. Without it, a list whose
        // elements all point at one long string would fill the host's memory.
        store.set_hostcall_fuel(limits.output_bytes_max.max(limits.about_bytes_max) * 2);
        store
    }
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
fn engine_config(name: PoolName, limits: &Limits) -> Config {
    let scan = PoolingAllocationConfig::is_pagemap_scan_available();
    let mut pool = PoolingAllocationConfig::default();
    let count = limits.pool_instances(name);
    // A component made of one module has up to three core instances. Python's has one for each
    // library.
    let (cores_per_call, tables_per_call, keep_bytes) = match name {
        PoolName::Small => (16, 8, 256 << 10),
        PoolName::Large => (64, 16, 8 << 20),
    };
    // One holds the guest's data; tool chains add small ones for what they put between modules.
    let memories_per_call = 4;
    // Interpreters are few, and take a lot to keep.
    let warm = if name == PoolName::Small { limits.warm_memories_max } else { count };
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
        // Resetting what a small guest touched is cheaper than giving pages back. Without the
        // kernel's scan (6.7 and later) that would be a memset of the whole range each time.
        .linear_memory_keep_resident(if scan { keep_bytes } else { 0 })
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
