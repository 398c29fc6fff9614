//! The host's state of one instance: log, memory use, and its view of WASI.

use wasmtime::ResourceLimiter;

use super::{
    Limits,
    bindings::{direct_log, log},
    empty_world::state::World,
};

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// State of one call: its log and its memory use.
pub(super) struct Guest {
    memory_bytes_max: usize,
    table_elements_max: usize,
    log_lines_max: usize,
    log_bytes_left: usize,
    /// Size of all its memories together.
    pub(super) memory_bytes: usize,
    /// Whether a memory has grown since instantiation.
    pub(super) has_grown: bool,
    /// Whether more memory than allowed was requested, which ends the call.
    pub(super) memory_refused: bool,
    logs: Vec<(Level, String)>,
    lines_lost: usize,
    /// Time, randomness and handles, if it imports WASI.
    world: Option<Box<World>>,
    /// Bytes printed after the last newline.
    printed: Vec<u8>,
    /// Received part of a log line that is not complete yet.
    begun: Vec<u8>,
}

impl Guest {
    pub(super) fn new(limits: &Limits) -> Guest {
        Guest {
            memory_bytes_max: limits.memory_bytes_max,
            table_elements_max: limits.table_elements_max,
            log_lines_max: limits.log_lines_max,
            log_bytes_left: limits.log_bytes_max,
            memory_bytes: 0,
            has_grown: false,
            memory_refused: false,
            logs: Vec::new(),
            lines_lost: 0,
            world: None,
            printed: Vec::new(),
            begun: Vec::new(),
        }
    }

    /// Sets time and randomness, before the call.
    pub(super) fn enter(&mut self, world: World) {
        self.world = Some(Box::new(world));
    }

    pub(super) fn world(&mut self) -> &mut World {
        self.world.get_or_insert_with(|| Box::new(World::new(0, "")))
    }

    /// Adds output to standard output or error to the log, line by line.
    pub(super) fn print(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(rest) => {
                    self.printed.extend_from_slice(rest);
                    self.end_line();
                }
                // An unfinished line is buffered only while the log has room for it.
                None if self.printed.len() < self.log_bytes_left => {
                    self.printed.extend_from_slice(part);
                }
                None => {}
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.printed)).into_owned();
        self.keep(Level::Info, line);
    }

    fn keep(&mut self, level: Level, mut message: String) {
        if self.logs.len() >= self.log_lines_max || self.log_bytes_left == 0 {
            self.lines_lost += 1;
            return;
        }
        truncate(&mut message, self.log_bytes_left);
        self.log_bytes_left -= message.len().max(1);
        self.logs.push((level, message));
    }

    /// Takes the lines that were kept, and adds a last one that counts the others.
    pub(super) fn take_logs(&mut self) -> Vec<(Level, String)> {
        if !self.printed.is_empty() {
            self.end_line();
        }
        let mut logs = std::mem::take(&mut self.logs);
        if self.lines_lost > 0 {
            logs.push((Level::Warn, format!("{} more lines were not kept", self.lines_lost)));
        }
        logs
    }
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.keep(level, message);
    }
}

impl direct_log::Host for Guest {
    /// Traps where the import that the guest was compiled with would trap.
    fn write(&mut self, level: u32, left: u32, word: u64) -> wasmtime::Result<()> {
        let level = match level {
            0 => Level::Debug,
            1 => Level::Info,
            2 => Level::Warn,
            3 => Level::Error,
            _ => wasmtime::bail!("{level} is no level of the log"),
        };
        let bytes = word.to_le_bytes();
        let here = (left as usize).min(bytes.len());
        // Buffer no more of a line than the log has room for.
        if self.begun.len() <= self.log_bytes_left {
            self.begun.extend_from_slice(&bytes[..here]);
        }
        if left as usize > bytes.len() {
            return Ok(());
        }
        let line = std::mem::take(&mut self.begun);
        let is_cut = line.len() > self.log_bytes_left;
        let line = match String::from_utf8(line) {
            Ok(line) => line,
            Err(e) if is_cut && e.utf8_error().error_len().is_none() => {
                String::from_utf8_lossy(e.as_bytes()).into_owned()
            }
            Err(e) => wasmtime::bail!("a line of the log is no UTF-8: {e}"),
        };
        self.keep(level, line);
        Ok(())
    }
}

impl super::bindings::types::Host for Guest {}

/// Cuts `text` to at most `bytes_max` bytes, at a character boundary.
pub(super) fn truncate(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.shrink_to_fit();
    }
}

impl ResourceLimiter for Guest {
    /// Traps instead of returning `-1`: an allocator that gets `-1` aborts without a reason.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // A component may have several memories; the limit is for all together.
        let bytes = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if bytes > self.memory_bytes_max {
            self.memory_refused = true;
            wasmtime::bail!("{bytes} bytes of memory are more than {}", self.memory_bytes_max);
        }
        self.memory_bytes = bytes;
        self.has_grown |= current > 0;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= self.table_elements_max)
    }
}
