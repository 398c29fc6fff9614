//! The engine and what all calls share.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    component::{HasSelf, Linker},
};

use super::{
    CallError, Limits,
    bindings::log,
    guest::Guest,
    ticker::{Beat, Ticker},
};

/// Why no plugin can run at all.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("plugins: {name} is {value}, it must be at least {least}")]
    TooLow { name: &'static str, value: u64, least: u64 },
    #[error(
        "plugins: the engine did not start: {0}. Where address space is limited (ulimit -v, a \
         container), a lower instances_max needs less of it"
    )]
    Engine(String),
    #[error("plugins: the thread that stops guests did not start: {0}")]
    Ticker(#[from] std::io::Error),
}

/// Compiles plugins and calls them. One of it serves the whole server; it is shared by reference.
pub struct Host {
    pub(super) engine: Engine,
    pub(super) linker: Linker<Guest>,
    pub(super) limits: Limits,
    /// As many permits as the pool has slots: an exhausted pool is an error, it does not wait.
    slots: Semaphore,
    pub(super) compiles: Semaphore,
    pub(super) ticker: Ticker,
}

impl Host {
    /// Reserves the pool and starts the thread that stops guests; it ends when the host is dropped.
    pub fn new(limits: Limits) -> Result<Host, HostError> {
        limits.check()?;
        let failed = |e: wasmtime::Error| HostError::Engine(format!("{e:#}"));
        let engine = Engine::new(&engine_config(&limits)).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        log::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest).map_err(failed)?;
        Ok(Host {
            slots: Semaphore::new(limits.instances_max as usize),
            compiles: Semaphore::new(limits.compiles_max),
            ticker: Ticker::start(engine.clone())?,
            engine,
            linker,
            limits,
        })
    }

    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A slot of the pool, for as long as the permit is held.
    pub(super) async fn slot(&self) -> Result<(SemaphorePermit<'_>, Beat<'_>), CallError> {
        let busy = CallError::Busy { waited_ms: self.limits.wait_time_ms };
        let permit = match self.slots.try_acquire() {
            Ok(permit) => permit,
            Err(_) => {
                let wait = Duration::from_millis(self.limits.wait_time_ms);
                let waited = tokio::time::timeout(wait, self.slots.acquire()).await;
                waited.map_err(|_| busy.clone())?.map_err(|_| busy)?
            }
        };
        Ok((permit, self.ticker.beat()))
    }

    /// A store with every limit set, for one instance.
    pub(super) fn store(&self) -> Store<Guest> {
        let mut store = Store::new(&self.engine, Guest::new(&self.limits));
        store.limiter(|guest| guest);
        // Before an instance is made: its start function counts as well.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        // What the guest may have copied out of its memory at once. Without it, a list whose
        // elements all point at one long string would fill the host's memory.
        store.set_hostcall_fuel(self.limits.output_bytes_max.max(self.limits.about_bytes_max) * 2);
        store
    }
}

/// The settings measured best for many short-lived instances.
fn engine_config(limits: &Limits) -> Config {
    let scan = PoolingAllocationConfig::is_pagemap_scan_available();
    let mut pool = PoolingAllocationConfig::default();
    let count = limits.instances_max;
    // A component made of one module has up to three core instances; those of interpreters more.
    let (cores_per_call, tables_per_call) = (8, 4);
    pool.total_component_instances(count)
        .total_core_instances(count.saturating_mul(cores_per_call))
        .total_memories(count)
        .total_tables(count.saturating_mul(tables_per_call))
        .total_stacks(count)
        .max_core_instances_per_component(cores_per_call)
        .max_memories_per_component(1)
        .max_tables_per_component(tables_per_call)
        .max_tables_per_module(tables_per_call)
        .max_memory_size(limits.memory_bytes_max)
        .table_elements(limits.table_elements_max)
        // Resetting what a small guest touched is cheaper than giving pages back. Without the
        // kernel's scan (6.7 and later) that would be a memset of the whole range each time.
        .linear_memory_keep_resident(if scan { 256 << 10 } else { 0 })
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
