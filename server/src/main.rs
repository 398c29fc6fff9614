//! The `antar` binary: runs the library's command line.

/// Half of an event's allocations are freed on a different thread from the one that made them, which is slow
/// with glibc's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    antar::cli::main().await
}
