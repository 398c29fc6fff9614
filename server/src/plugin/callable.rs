//! A plugin as it is called: code shared by tenants, and limits, breaker and metrics of its own.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::Semaphore;

use super::bindings::filter::FilterPluginPre;
use super::bindings::transform::TransformPluginPre;
use super::bindings::types::About;
use super::call_breaker::Breaker;
use super::call_metrics::CallMetrics;
use super::guest::Guest;
use super::shares::Share;
use super::{Inspection, Limits, Owner, Pause, PoolName};

/// The tight form is tried only for less data and config than this.
const TIGHT_BYTES_MAX: usize = 32 << 10;

/// The two kinds of plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Passes or drops an event.
    Filter,
    /// Returns new data, or drops the event.
    Transform,
}

/// A plugin of one tenant. Cloning it copies a pointer. Only the host that made it can call it.
#[derive(Clone)]
pub struct Plugin(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) code: Arc<Code>,
    pub(super) owner: Owner,
    /// Set at the first call: limits depend on the pool, which is known once the code is linked.
    pub(super) allowed: OnceLock<Allowed>,
    pub(super) breaker: Breaker,
    pub(super) metrics: CallMetrics,
}

/// Limits of one plugin, with the operator's overrides.
pub(super) struct Allowed {
    pub(super) limits: Limits,
    /// A permit for each concurrent call.
    pub(super) slots: Semaphore,
    /// What the owner's plugins have together.
    pub(super) share: Arc<Share>,
}

/// State shared by all tenants that uploaded the same file.
pub(super) struct Code {
    /// Unset while the plugin is recompiled after an upgrade of the server. An error means that the
    /// new compiler refuses the file, or that compiling was given up.
    pub(super) made: OnceLock<Result<Made, String>>,
    pub(super) inspection: Inspection,
    pub(super) digest: String,
    pub(super) size_bytes: u64,
    pub(super) about: About,
    pub(super) config: Option<antar_schema::Schema>,
}

/// Machine code linked in a pool, in one or two forms. The ample form has spare memory for data.
/// The tight form has little, and its calls cost less as long as the memory need not grow.
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

/// Machine code linked for one engine.
pub(super) struct Linked {
    pub(super) entry: Entry,
    pub(super) engine: wasmtime::Engine,
    /// Bytes of data and config from which on this form is too small. If the memory of the tight
    /// form has to grow, the call costs more than the form saves, and threads wait for each other.
    /// So the smallest size that made it grow is recorded.
    bytes_max: AtomicUsize,
}

impl Made {
    /// The form to call with `bytes` of data and config.
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

    /// Records that `bytes` made the memory grow. The ample form is called regardless.
    pub(super) fn grew_at(&self, bytes: usize) {
        self.bytes_max.fetch_min(bytes, Relaxed);
    }
}

/// One error in a config.
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

    /// JSON Schema text of the config, if the plugin has one.
    #[must_use]
    pub fn config_schema(&self) -> Option<&str> {
        Some(self.0.code.about.config_schema.as_str()).filter(|schema| !schema.is_empty())
    }

    /// Marks a plugin as never to be compiled; its calls return `why`.
    pub fn give_up(&self, why: &str) {
        // If it was compiled in the meantime, that result stays.
        let _ = self.0.code.made.set(Err(why.to_owned()));
    }

    /// Size of the uploaded file.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.0.code.size_bytes
    }

    /// None as long as it is not compiled.
    #[must_use]
    pub fn pool(&self) -> Option<PoolName> {
        self.0.code.made.get()?.as_ref().ok().map(|made| made.pool)
    }

    /// Whether compiling has ended, with code or with an error. False while the plugin is
    /// recompiled after an upgrade of the server.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.code.made.get().is_some()
    }

    /// Its kind, imports and exports.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.0.code.inspection
    }

    /// The current pause, if the circuit breaker is open.
    #[must_use]
    pub fn pause(&self) -> Option<Pause> {
        self.0.breaker.pause()
    }

    /// Validates a config against the plugin's schema. Without a schema there are no errors.
    #[must_use]
    pub fn config_errors(&self, config: &serde_json::Value) -> Vec<ConfigError> {
        let Some(schema) = &self.0.code.config else { return Vec::new() };
        let error = |(pointer, detail)| ConfigError { pointer, detail };
        match schema.mismatches(config) {
            Ok(mismatches) => mismatches.into_iter().map(error).collect(),
            Err(too_large) => vec![error((String::new(), too_large.to_string()))],
        }
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plugin({:?}, {})", self.kind(), self.digest())
    }
}
