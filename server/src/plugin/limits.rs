//! What plugins may use, as data.

use serde::{Deserialize, Serialize};

use super::{HostError, PoolName, overrides::Override};

/// Limits of all plugins. Part of the server's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How long one call may run, from making the instance to its answer. A guest that loops is
    /// stopped then; until then it gives way to other work every millisecond, and the time in which
    /// others work is not counted.
    pub call_time_ms: u64,
    /// The same for the one call of `describe` at upload.
    pub describe_time_ms: u64,
    /// How long a call waits for a free instance before it is given up as busy.
    pub wait_time_ms: u64,
    /// Calls that run at once in the small pool. A tenant never has more of them than it leaves to all
    /// others. Each keeps a slot of memory and stack reserved (address space, not memory, until it is used).
    pub instances_max: u32,
    /// Memory of one instance in the small pool. At least 1 MiB: most compilers reserve that much
    /// for the stack.
    pub memory_bytes_max: usize,
    /// The same in the large pool, where plugins go that don't fit into the small one:
    /// interpreters.
    pub large_instances_max: u32,
    /// Memory of one instance in the large pool.
    pub large_memory_bytes_max: usize,
    /// Calls of one plugin at once. At most half of its pool in any case, unless an override says
    /// otherwise: a slow plugin leaves room for the others.
    pub instances_per_plugin_max: u32,
    /// Calls that run at once after their first millisecond, of one tenant half of them; others wait for their
    /// turn, and that time is not counted. 0 for half of the processor's cores.
    pub long_calls_max: usize,
    /// Memories of more than 192 KiB that stay prepared for the plugin that last used them. A call of
    /// a plugin that finds none costs ten times as much. Each takes 4 GiB of address space, and up
    /// to 256 KiB of memory once it was used. Smaller ones do for any plugin.
    pub warm_memories_max: u32,
    /// Stack of one instance that the host keeps for it (WASM guests keep another of their own).
    pub stack_bytes_max: usize,
    /// Elements in one function table.
    pub table_elements_max: usize,
    /// The config of one call, with the secrets that it names filled in.
    pub config_bytes_max: usize,
    /// Different secrets that the configs of one webhook's plugins name.
    pub config_secrets_max: usize,
    /// All text of one answer together: data, attributes, headers, reasons.
    pub output_bytes_max: usize,
    /// Nesting of the data in an answer.
    pub output_depth_max: usize,
    /// Events that one event may be split into.
    pub split_max: usize,
    /// Attributes, and headers, of one replacement.
    pub fields_max: usize,
    /// Description and config schema together.
    pub about_bytes_max: usize,
    /// Log lines that are kept of one call. What is beyond is counted.
    pub log_lines_max: usize,
    /// Log text that is kept of one call.
    pub log_bytes_max: usize,
    /// A drop's or problem's reason is cut after this.
    pub reason_bytes_max: usize,
    /// The largest module or component that is taken.
    pub upload_bytes_max: usize,
    /// How long an upload's answer waits for the compiler; then it says 202, and the state is to
    /// be asked for.
    pub upload_wait_ms: u64,
    /// Uploads that are compiled at once, each of another tenant; others wait. 0 for half of the
    /// processor's cores, but at least two, so that one that takes long does not hold up others.
    pub compiles_max: usize,
    /// Uploads of all tenants that wait for the compiler or are in it; more are refused as busy.
    pub uploads_waiting_max: usize,
    /// Bytes of all of these together. A tenant may use half of what others leave.
    pub uploads_waiting_bytes_max: usize,
    /// The same for one tenant.
    pub tenant_uploads_waiting_max: usize,
    /// The same for one tenant.
    pub tenant_uploads_waiting_bytes_max: usize,
    /// How long one may be compiled before it is given up.
    pub compile_time_ms: u64,
    /// Processor time of one compilation, on all threads.
    pub compile_cpu_s_max: u64,
    /// Address space of the compiler's process.
    pub compile_memory_bytes_max: u64,
    /// Machine code that is made of one upload.
    pub code_bytes_max: u64,
    /// Core modules in one upload.
    pub upload_modules_max: usize,
    /// Functions of all modules of an upload, and functions that they import.
    pub upload_functions_max: usize,
    /// Parameters and locals of all functions of an upload.
    pub upload_locals_max: usize,
    /// Types of all modules of an upload; and as many imports, exports, globals, tables, memories,
    /// tags, element segments and data segments.
    pub upload_items_max: usize,
    /// Elements that all modules of an upload put into tables.
    pub upload_elements_max: usize,
    /// Core instances that an upload makes.
    pub upload_core_instances_max: usize,
    /// Types, imports, exports, aliases, instances and functions of all components of an upload.
    pub component_items_max: usize,
    /// Nesting of components.
    pub component_depth_max: usize,
    /// Parameters and results of one function or block type.
    pub type_values_max: usize,
    /// Length of one function.
    pub function_bytes_max: usize,
    /// Parameters and locals of one function.
    pub function_locals_max: usize,
    /// Blocks and branches of one function.
    pub function_blocks_max: usize,
    /// Targets of all `br_table` of one function.
    pub function_targets_max: usize,
    /// Nesting of blocks in one function.
    pub function_depth_max: usize,
    /// Nesting of loops in one function.
    pub function_loop_depth_max: usize,
    /// Height of the operand stack in one function.
    pub function_operands_max: usize,
    /// Operands that the instructions of one function take and give.
    pub function_values_max: usize,
    /// Locals and height of the operand stack, together, times blocks and branches of one function.
    pub function_weight_max: usize,
    /// Compiled code that is kept in the data folder, so that a start compiles nothing. What was
    /// not used for longest goes first.
    pub cache_bytes_max: u64,
    /// Failures in a row (traps, time-outs, answers that can't be used) after which a plugin is
    /// paused; 0 for never.
    pub breaker_failures_max: u32,
    /// How long it is paused before one call tries again.
    pub breaker_pause_ms: u64,
    /// Plugins that have figures of their own in `/metrics`; the others are counted together.
    pub metrics_plugins_max: usize,
    /// What an override may raise `call_time_ms` to.
    pub override_call_time_ms_max: u64,
    /// What an override may raise `output_bytes_max` to.
    pub override_output_bytes_max: usize,
    /// What an override may raise `log_lines_max` to.
    pub override_log_lines_max: usize,
    /// What an override may raise `log_bytes_max` to.
    pub override_log_bytes_max: usize,
    /// Other limits for single plugins.
    pub overrides: Vec<Override>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            call_time_ms: 100,
            describe_time_ms: 1_000,
            wait_time_ms: 1_000,
            instances_max: 64,
            memory_bytes_max: 16 << 20,
            large_instances_max: 4,
            large_memory_bytes_max: 128 << 20,
            instances_per_plugin_max: 32,
            long_calls_max: 0,
            warm_memories_max: 1_024,
            stack_bytes_max: 512 << 10,
            table_elements_max: 20_000,
            config_bytes_max: 512 << 10,
            config_secrets_max: 32,
            output_bytes_max: 4 << 20,
            output_depth_max: 128,
            split_max: 1_000,
            fields_max: 64,
            about_bytes_max: 256 << 10,
            log_lines_max: 100,
            log_bytes_max: 16 << 10,
            reason_bytes_max: 1_024,
            upload_bytes_max: 64 << 20,
            upload_wait_ms: 2_000,
            compiles_max: 0,
            uploads_waiting_max: 256,
            uploads_waiting_bytes_max: 512 << 20,
            tenant_uploads_waiting_max: 8,
            tenant_uploads_waiting_bytes_max: 128 << 20,
            compile_time_ms: 120_000,
            compile_cpu_s_max: 60,
            compile_memory_bytes_max: 2 << 30,
            code_bytes_max: 256 << 20,
            upload_modules_max: 100,
            upload_functions_max: 100_000,
            upload_locals_max: 1_000_000,
            upload_items_max: 50_000,
            upload_elements_max: 100_000,
            upload_core_instances_max: 100,
            component_items_max: 10_000,
            component_depth_max: 5,
            type_values_max: 500,
            function_bytes_max: 1 << 20,
            function_locals_max: 2_000,
            function_blocks_max: 20_000,
            function_targets_max: 50_000,
            function_depth_max: 1_500,
            function_loop_depth_max: 100,
            function_operands_max: 1_000,
            function_values_max: 1_000_000,
            function_weight_max: 10_000_000,
            cache_bytes_max: 1 << 30,
            breaker_failures_max: 50,
            breaker_pause_ms: 30_000,
            metrics_plugins_max: 200,
            override_call_time_ms_max: 10_000,
            override_output_bytes_max: 16 << 20,
            override_log_lines_max: 1_000,
            override_log_bytes_max: 256 << 10,
            overrides: Vec::new(),
        }
    }
}

impl Limits {
    /// Refuses limits under which no plugin could run, and names the field.
    pub fn check(&self) -> Result<(), HostError> {
        const PAGE: usize = 64 << 10;
        let at_least = |name, value: u64, least| {
            if value < least { Err(HostError::TooLow { name, value, least }) } else { Ok(()) }
        };
        at_least("call_time_ms", self.call_time_ms, 1)?;
        at_least("describe_time_ms", self.describe_time_ms, 1)?;
        at_least("instances_max", self.instances_max.into(), 1)?;
        at_least("memory_bytes_max", self.memory_bytes_max as u64, 1 << 20)?;
        at_least("large_instances_max", self.large_instances_max.into(), 1)?;
        let small = self.memory_bytes_max as u64;
        at_least("large_memory_bytes_max", self.large_memory_bytes_max as u64, small)?;
        at_least("instances_per_plugin_max", self.instances_per_plugin_max.into(), 1)?;
        at_least("stack_bytes_max", self.stack_bytes_max as u64, PAGE as u64)?;
        at_least("table_elements_max", self.table_elements_max as u64, 100)?;
        at_least("output_bytes_max", self.output_bytes_max as u64, 1_024)?;
        at_least("output_depth_max", self.output_depth_max as u64, 1)?;
        at_least("split_max", self.split_max as u64, 1)?;
        at_least("about_bytes_max", self.about_bytes_max as u64, 1_024)?;
        at_least("upload_bytes_max", self.upload_bytes_max as u64, PAGE as u64)?;
        at_least("uploads_waiting_max", self.uploads_waiting_max as u64, 1)?;
        // A tenant gets half of them.
        let (upload, twice) = (self.upload_bytes_max as u64, 2 * self.upload_bytes_max as u64);
        at_least("uploads_waiting_bytes_max", self.uploads_waiting_bytes_max as u64, twice)?;
        at_least("tenant_uploads_waiting_max", self.tenant_uploads_waiting_max as u64, 1)?;
        let of_tenant = self.tenant_uploads_waiting_bytes_max as u64;
        at_least("tenant_uploads_waiting_bytes_max", of_tenant, upload)?;
        at_least("compile_time_ms", self.compile_time_ms, 1)?;
        at_least("compile_cpu_s_max", self.compile_cpu_s_max, 1)?;
        // Less is not enough to start the compiler.
        at_least("compile_memory_bytes_max", self.compile_memory_bytes_max, 256 << 20)?;
        at_least("breaker_pause_ms", self.breaker_pause_ms, 1)?;
        self.overrides.iter().try_for_each(|one| one.check(self))
    }

    /// Long calls that run at once.
    pub(super) fn long_calls_at_once(&self) -> usize {
        match self.long_calls_max {
            0 => cores().div_ceil(2),
            most => most,
        }
    }

    /// Uploads that are compiled at once.
    pub(super) fn compiles_at_once(&self) -> usize {
        match self.compiles_max {
            0 => (cores() / 2).max(2),
            most => most,
        }
    }

    /// Threads of one compilation. All together use half of the cores.
    pub(super) fn threads_per_compile(&self) -> usize {
        (cores() / 2 / self.compiles_at_once()).max(1)
    }

    /// Memory of one instance of this pool.
    pub(super) fn pool_memory_bytes(&self, pool: PoolName) -> usize {
        match pool {
            PoolName::Small => self.memory_bytes_max,
            PoolName::Large => self.large_memory_bytes_max,
        }
    }

    /// Slots of this pool.
    pub(super) fn pool_instances(&self, pool: PoolName) -> u32 {
        match pool {
            PoolName::Small => self.instances_max,
            PoolName::Large => self.large_instances_max,
        }
    }
}

/// Processor cores, and threads of the server.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
