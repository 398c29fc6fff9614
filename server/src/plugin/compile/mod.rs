//! Compiles uploads to machine code, and links machine code so that it can be called.
//!
//! A server compiles in processes of its own, within limits of time and memory: [`child`].
//! Tenants take turns: [`turns`].

pub(super) mod child;
pub(super) mod link;
pub(super) mod machine_code;
mod message;
mod process;
pub(super) mod turns;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use wasmtime::Engine;

use self::machine_code::machine_code;
use self::message::Request;
use self::turns::Turn;
use super::cache::Cache;
use super::{HostError, Limits, UploadError};

const STACK_BYTES: usize = 16 << 20;

/// Where uploads are compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileIn {
    /// In a new process of this program, which must be Antar's, for each upload.
    Process(PathBuf),
    /// On threads of this process, where a compilation that has begun can't be stopped. For a
    /// developer who compiles plugins of their own.
    ThisProcess,
}

impl CompileIn {
    /// New processes of the program that is running.
    ///
    /// # Errors
    /// The program's path is unknown.
    pub fn this_program() -> io::Result<CompileIn> {
        // On Linux, this link leads to the running file even if an upgrade has replaced it.
        let running = Path::new("/proc/self/exe");
        let found = if running.exists() { Ok(running.into()) } else { std::env::current_exe() };
        found.map(CompileIn::Process)
    }
}

/// Makes machine code, or takes it from the cache.
pub(super) struct Compiler {
    engine: Engine,
    version: String,
    cache: Option<Cache>,
    place: Place,
    limits: Limits,
    /// Compilations so far; cache hits don't count.
    compiled: AtomicU64,
}

enum Place {
    Process(PathBuf),
    Threads(rayon::ThreadPool),
}

impl Compiler {
    pub(super) fn new(
        limits: &Limits,
        cache: Option<&Path>,
        place: CompileIn,
    ) -> Result<Compiler, HostError> {
        let engine = machine_code::engine().map_err(|e| HostError::Engine(e.to_string()))?;
        let version = machine_code::version(&engine);
        let cache = cache.map(|f| Cache::open(f, version.clone(), limits.cache_bytes_max));
        let cache = cache.transpose().map_err(HostError::Cache)?;
        let place = match place {
            CompileIn::Process(program) => Place::Process(program),
            CompileIn::ThisProcess => Place::Threads(threads(limits)?),
        };
        let (limits, compiled) = (limits.clone(), AtomicU64::new(0));
        Ok(Compiler { engine, version, cache, place, limits, compiled })
    }

    #[cfg(test)]
    pub(super) fn compiled(&self) -> u64 {
        self.compiled.load(Relaxed)
    }

    /// Cached machine code for the file of this digest.
    pub(super) fn cached(&self, digest: &str) -> Option<Vec<u8>> {
        self.cache.as_ref()?.get(digest)
    }

    /// Machine code from the cache or of a new compilation. Returns the turn, or keeps it until the
    /// compilation has ended.
    pub(super) async fn code(
        self: &Arc<Self>,
        digest: String,
        wasm: Bytes,
        turn: Turn,
    ) -> Result<(Vec<u8>, Turn), UploadError> {
        let (compiler, wanted) = (self.clone(), digest.clone());
        if let Some(code) = blocking(move || Ok(compiler.cached(&wanted))).await? {
            return Ok((code, turn));
        }
        let (code, turn) = self.compile(wasm, turn).await?;
        self.compiled.fetch_add(1, Relaxed);
        let compiler = self.clone();
        let code = blocking(move || {
            if let Some(cache) = &compiler.cache {
                cache.put(&digest, &code);
            }
            Ok(code)
        });
        Ok((code.await?, turn))
    }

    async fn compile(
        self: &Arc<Self>,
        wasm: Bytes,
        turn: Turn,
    ) -> Result<(Vec<u8>, Turn), UploadError> {
        let limit_ms = self.limits.compile_time_ms;
        if let Place::Process(program) = &self.place {
            let request = Request {
                version: self.version.clone(),
                module_bytes: wasm.len() as u64,
                cpu_s_max: self.limits.compile_cpu_s_max,
                memory_bytes_max: self.limits.compile_memory_bytes_max,
                code_bytes_max: self.limits.code_bytes_max,
                threads: self.limits.threads_per_compile(),
            };
            let code = process::compiled(program, &request, &wasm, limit_ms).await?;
            return Ok((code, turn));
        }
        let compiler = self.clone();
        // The turn is held until the compilation ends, even if the caller has given up.
        let compiling = blocking(move || Ok((compiler.on_threads(&wasm)?, turn)));
        match tokio::time::timeout(Duration::from_millis(limit_ms), compiling).await {
            Ok(made) => made,
            Err(_) => Err(UploadError::TooSlow { limit_ms }),
        }
    }

    fn on_threads(&self, wasm: &[u8]) -> Result<Vec<u8>, UploadError> {
        match &self.place {
            Place::Threads(threads) => threads.install(|| machine_code(&self.engine, wasm)),
            Place::Process(_) => Err(UploadError::Internal("it compiles in processes".into())),
        }
    }
}

fn threads(limits: &Limits) -> Result<rayon::ThreadPool, HostError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(limits.threads_per_compile() * limits.compiles_at_once())
        .thread_name(|number| format!("plugin-compiler-{number}"))
        // The parser recurses into deeply nested uploads, up to its own limits.
        .stack_size(STACK_BYTES)
        .build()
        .map_err(|e| HostError::Thread(e.to_string()))
}

/// Runs blocking work outside the async runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, UploadError> + Send + 'static,
) -> Result<T, UploadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| UploadError::Internal(e.to_string()))?
}
