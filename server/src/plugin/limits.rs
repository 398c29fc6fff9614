//! What plugins may use, as data.

use serde::{Deserialize, Serialize};

use super::HostError;

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
    /// Calls that run at once. Each keeps a slot of memory and stack reserved (address space,
    /// not memory, until it is used).
    pub instances_max: u32,
    /// Memory of one instance. At least 1 MiB: most compilers reserve that much for the stack.
    pub memory_bytes_max: usize,
    /// Stack of one instance that the host keeps for it (WASM guests keep another of their own).
    pub stack_bytes_max: usize,
    /// Elements in one function table.
    pub table_elements_max: usize,
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
    /// Uploads that are compiled at once; others wait.
    pub compiles_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            call_time_ms: 100,
            describe_time_ms: 1_000,
            wait_time_ms: 1_000,
            instances_max: 64,
            memory_bytes_max: 16 << 20,
            stack_bytes_max: 512 << 10,
            table_elements_max: 20_000,
            output_bytes_max: 4 << 20,
            output_depth_max: 128,
            split_max: 1_000,
            fields_max: 64,
            about_bytes_max: 256 << 10,
            log_lines_max: 100,
            log_bytes_max: 16 << 10,
            reason_bytes_max: 1_024,
            upload_bytes_max: 16 << 20,
            compiles_max: 1,
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
        at_least("stack_bytes_max", self.stack_bytes_max as u64, PAGE as u64)?;
        at_least("table_elements_max", self.table_elements_max as u64, 100)?;
        at_least("output_bytes_max", self.output_bytes_max as u64, 1_024)?;
        at_least("output_depth_max", self.output_depth_max as u64, 1)?;
        at_least("split_max", self.split_max as u64, 1)?;
        at_least("about_bytes_max", self.about_bytes_max as u64, 1_024)?;
        at_least("upload_bytes_max", self.upload_bytes_max as u64, PAGE as u64)?;
        at_least("compiles_max", self.compiles_max as u64, 1)
    }
}
