//! The binary: arguments, then the library.

/// Half of an event's allocations are freed on another thread than they were made on, which glibc's
/// allocator does slowly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    antar::cli::main().await
}
