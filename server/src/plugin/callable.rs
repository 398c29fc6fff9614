//! A plugin that can be called.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::Semaphore;

use super::bindings::filter::FilterPluginPre;
use super::bindings::transform::TransformPluginPre;
use super::bindings::types::About;
use super::breaker::Breaker;
use super::call_metrics::CallMetrics;
use super::guest::Guest;
use super::{Inspection, Limits, Owner, Pause, PoolName};

/// What a memory with tight room is tried with.
const TIGHT_BYTES_MAX: usize = 32 << 10;

/// The two kinds of plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Says pass or drop.
    Filter,
    /// Returns new data, or drops.
    Transform,
}

/// A compiled plugin of one tenant. Cloning it copies a pointer. It can be called by the host that
/// made it.
#[derive(Clone)]
pub struct Plugin(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) code: Arc<Code>,
    pub(super) owner: Owner,
    /// Known when the code is made: they depend on its pool.
    pub(super) allowed: OnceLock<Allowed>,
    pub(super) breaker: Breaker,
    pub(super) metrics: CallMetrics,
}

/// As the operator allows one plugin.
pub(super) struct Allowed {
    pub(super) limits: Limits,
    /// Calls at once.
    pub(super) slots: Semaphore,
}

/// What is the same for all tenants that uploaded the same file.
pub(super) struct Code {
    /// Not yet while it is compiled anew, after an upgrade of the server. The error is of a compiler
    /// that does not take the file any more.
    pub(super) made: OnceLock<Result<Made, String>>,
    pub(super) inspection: Inspection,
    pub(super) digest: String,
    pub(super) size_bytes: u64,
    pub(super) about: About,
    pub(super) config: Option<jsonschema::Validator>,
}

/// Machine code in its pool: with ample room for data, and in a form whose memory has no room for much, where
/// a call costs less as long as the memory need not grow.
pub(super) struct Made {
    pub(super) ample: Linked,
    pub(super) tight: Option<Linked>,
    pub(super) pool: PoolName,
}

/// A component with its imports linked.
pub(super) enum Entry {
    Filter(FilterPluginPre<Guest>),
    Transform(TransformPluginPre<Guest>),
}

/// Machine code that is linked for an engine.
pub(super) struct Linked {
    pub(super) entry: Entry,
    pub(super) engine: wasmtime::Engine,
    /// Bytes of data and config that it is too small for. Where the memory of the tight form has to grow, a
    /// call costs more than was saved, and threads wait for each other; so what grew is remembered.
    bytes_max: AtomicUsize,
}

impl Made {
    /// What to call with `bytes` of data and config.
    pub(super) fn fitting(&self, bytes: usize) -> &Linked {
        let tight = self.tight.as_ref().filter(|tight| bytes < tight.bytes_max.load(Relaxed));
        tight.unwrap_or(&self.ample)
    }
}

impl Linked {
    pub(super) fn ample(entry: Entry, engine: wasmtime::Engine) -> Linked {
        Linked { entry, engine, bytes_max: AtomicUsize::new(usize::MAX) }
    }

    pub(super) fn tight(entry: Entry, engine: wasmtime::Engine) -> Linked {
        Linked { entry, engine, bytes_max: AtomicUsize::new(TIGHT_BYTES_MAX) }
    }

    /// Its memory was not enough for so much. The ample form serves in any case.
    pub(super) fn grew_at(&self, bytes: usize) {
        self.bytes_max.fetch_min(bytes, Relaxed);
    }
}

/// One thing that is wrong in a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// JSON pointer into the config.
    pub pointer: String,
    pub detail: String,
}

impl Plugin {
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.code.inspection.kind
    }

    /// SHA-256 of the uploaded bytes, in hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.0.code.digest
    }

    #[must_use]
    pub fn description(&self) -> &str {
        &self.0.code.about.description
    }

    /// JSON Schema text of the config, if the plugin gives one.
    #[must_use]
    pub fn config_schema(&self) -> Option<&str> {
        Some(self.0.code.about.config_schema.as_str()).filter(|schema| !schema.is_empty())
    }

    /// It will not be compiled; its calls say why.
    pub fn give_up(&self, why: &str) {
        // Made by somebody else meanwhile: then that is better.
        let _ = self.0.code.made.set(Err(why.to_owned()));
    }

    /// Of the file as it was uploaded.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.0.code.size_bytes
    }

    /// None until it is ready.
    #[must_use]
    pub fn pool(&self) -> Option<PoolName> {
        self.0.code.made.get()?.as_ref().ok().map(|made| made.pool)
    }

    /// Whether it can be called. After an upgrade of the server it is compiled anew first.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.code.made.get().is_some()
    }

    /// What it imports and exports.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.0.code.inspection
    }

    /// Why it is not called at the moment.
    #[must_use]
    pub fn pause(&self) -> Option<Pause> {
        self.0.breaker.pause()
    }

    /// What its schema has against a config. Without a schema, nothing.
    #[must_use]
    pub fn config_errors(&self, config: &serde_json::Value) -> Vec<ConfigError> {
        let Some(validator) = &self.0.code.config else { return Vec::new() };
        let error = |e: jsonschema::ValidationError<'_>| ConfigError {
            pointer: e.instance_path().to_string(),
            detail: e.to_string(),
        };
        validator.iter_errors(config).map(error).collect()
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plugin({:?}, {})", self.kind(), self.digest())
    }
}
