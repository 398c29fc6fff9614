//! Log lines for the operator of the plugin. Antar stores the first of each call, up to a limit.
//! Outside WASM they go to standard error.

/// Severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Debug = 0,
    Info = 1,
    Warn = 2,
    Error = 3,
}

/// Details for debugging.
pub fn debug(message: impl AsRef<str>) {
    write(Level::Debug, message.as_ref());
}

/// What was done.
pub fn info(message: impl AsRef<str>) {
    write(Level::Info, message.as_ref());
}

/// Something unexpected that was handled.
pub fn warn(message: impl AsRef<str>) {
    write(Level::Warn, message.as_ref());
}

/// Something is wrong.
pub fn error(message: impl AsRef<str>) {
    write(Level::Error, message.as_ref());
}

/// A line of any level.
#[cfg(not(target_arch = "wasm32"))]
pub fn write(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}

/// A line of any level.
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "the canonical form of `write` in antar:plugin/log")]
pub fn write(level: Level, message: &str) {
    // A world's bindings are in the plugin's crate, but this function is the same in all worlds.
    #[link(wasm_import_module = "antar:plugin/log@1.0.0")]
    unsafe extern "C" {
        #[link_name = "write"]
        fn host_write(level: i32, message: *const u8, length: usize);
    }
    // SAFETY: the host reads `length` bytes at `message`, which lives until it returns.
    unsafe { host_write(level as i32, message.as_ptr(), message.len()) }
}
