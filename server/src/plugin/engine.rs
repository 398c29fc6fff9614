//! The plugin host: limits, pools, ticker and compiler, shared by all calls.

use std::{path::Path, sync::Arc, time::SystemTime};

use super::call_metrics::Named;
use super::compile::Compiler;
use super::compile::turns::Turns;
use super::epoch_ticker::EpochTicker;
use super::limits::cores;
use super::pool::{Pool, PoolName};
use super::shares::Shares;
use super::{CompileIn, Limits};

/// Why the host can't start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("plugins: {name} is {value}, it must be at least {least}")]
    TooLow { name: &'static str, value: u64, least: u64 },
    #[error("plugins: overrides: {name} of {plugin} is {value}, it must be from {least} to {most}")]
    Override { plugin: String, name: &'static str, value: u64, least: u64, most: u64 },
    #[error(
        "plugins: the engine did not start: {0}. Where address space is limited (ulimit -v, a \
         container), a lower instances_max needs less of it"
    )]
    Engine(String),
    #[error("plugins: a thread did not start: {0}")]
    Thread(String),
    #[error("plugins: the folder for compiled code can't be used: {0}")]
    Cache(std::io::Error),
}

/// Milliseconds since 1970.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Compiles and calls plugins. The whole server shares one host by reference.
pub struct Host {
    pub(super) limits: Limits,
    pub(super) small: Arc<Pool>,
    pub(super) large: Arc<Pool>,
    pub(super) ticker: EpochTicker,
    pub(super) compiler: Arc<Compiler>,
    pub(super) turns: Arc<Turns>,
    pub(super) shares: Shares,
    pub(super) named: Named,
    pub(super) now_ms: Now,
}

impl Host {
    /// Opens a host on the system's clock, which compiles in this process and caches nothing.
    pub fn new(limits: Limits) -> Result<Host, HostError> {
        let since = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now_ms = Arc::new(move || i64::try_from(since().as_millis()).unwrap_or(0));
        Host::open(limits, CompileIn::ThisProcess, None, now_ms)
    }

    /// Reserves the pools and starts the epoch ticker, whose thread ends when the host is dropped.
    /// Compiled code is stored in `cache`. `now_ms` is the clock of pauses, not of limits.
    pub fn open(
        limits: Limits,
        compile_in: CompileIn,
        cache: Option<&Path>,
        now_ms: Now,
    ) -> Result<Host, HostError> {
        limits.check()?;
        let failed = |e: wasmtime::Error| HostError::Engine(format!("{e:#}"));
        let small = Pool::new(PoolName::Small, &limits).map_err(failed)?;
        let large = Pool::new(PoolName::Large, &limits).map_err(failed)?;
        let engines: Vec<_> = [&small, &large]
            .into_iter()
            .flat_map(|pool| pool.engines.iter().map(|slots| slots.engine.clone()))
            .collect();
        let compiler = Compiler::new(&limits, cache, compile_in)?;
        let ticker = EpochTicker::start(engines).map_err(|e| HostError::Thread(e.to_string()))?;
        Ok(Host {
            turns: Arc::new(Turns::new(&limits)),
            shares: Shares::new(cores(), limits.long_calls_at_once()),
            named: Named::new(limits.metrics_plugins_max),
            compiler: Arc::new(compiler),
            ticker,
            small: Arc::new(small),
            large: Arc::new(large),
            limits,
            now_ms,
        })
    }

    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn pool(&self, name: PoolName) -> &Pool {
        match name {
            PoolName::Small => &self.small,
            PoolName::Large => &self.large,
        }
    }
}
