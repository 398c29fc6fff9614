//! The `antar` binary: runs the library's command line, or is the compiler that the server starts.

use std::process::ExitCode;

/// Half of an event's allocations are freed on a different thread from the one that made them, which is slow
/// with glibc's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The compiler of plugins needs no runtime, and reads no arguments but this word.
    if std::env::args_os().nth(1).is_some_and(|word| word == antar::plugin::COMPILE_COMMAND) {
        return antar::plugin::compile_main();
    }
    run()
}

#[tokio::main]
async fn run() -> ExitCode {
    antar::cli::main().await
}
