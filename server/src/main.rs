//! The binary: arguments, then the library.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    antar::cli::main().await
}
