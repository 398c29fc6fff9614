//! Turns uploaded bytes into a plugin that can be called.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::bindings::types::About;
use super::call_breaker::Breaker;
use super::callable::{Allowed, Code, Inner, Made};
use super::compile::{LinkError, link};
use super::compile_queue::Ticket;
use super::pool::Pool;
use super::{CallError, Host, Inspection, Plugin, PoolName};

/// Why an upload is refused.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the file has {size_bytes} bytes, allowed are {limit_bytes}")]
    TooLarge { size_bytes: usize, limit_bytes: usize },
    #[error("this is no WebAssembly file: it must begin with the bytes 00 61 73 6d")]
    NotWasm,
    /// A core module without the component type from wit-bindgen, or with imports that have no
    /// types.
    #[error(
        "this module can't be made a component: {0}. Build it with an Antar SDK for the target \
         wasm32-unknown-unknown, or upload a component"
    )]
    Module(String),
    #[error("this component can't be compiled: {0}")]
    Component(String),
    #[error("{uploads} uploads wait to be compiled, and {name} is {limit}; try again in a minute")]
    Busy { uploads: usize, limit: usize, name: &'static str },
    #[error("compiling it took longer than {limit_ms} ms (plugins.compile_time_ms)")]
    TooSlow { limit_ms: u64 },
    #[error(
        "a plugin may import antar:plugin/log@1.0.0, WASI, and nothing else; this one imports {}",
        .0.join(", ")
    )]
    Imports(Vec<String>),
    #[error(
        "a plugin exports antar:plugin/filter@1.0.0 or antar:plugin/transform@1.0.0, one of them; \
         this one exports {}", if .0.is_empty() { "nothing".into() } else { .0.join(", ") }
    )]
    Exports(Vec<String>),
    #[error("its describe function failed: {0}")]
    Describe(CallError),
    #[error("the config schema that it describes can't be used: {0}")]
    ConfigSchema(String),
    /// A fault of the compiler, not of the upload's format.
    #[error("compiling it failed unexpectedly: {0}")]
    Internal(String),
}

/// Tenant and name of a plugin. Its limits and call metrics depend on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub tenant: String,
    /// The plugin's name.
    pub plugin: String,
}

/// Stored facts about a plugin that was accepted earlier.
#[derive(Clone, Debug)]
pub struct Known {
    /// SHA-256 of the uploaded bytes, in hex.
    pub digest: String,
    pub size_bytes: u64,
    pub description: String,
    /// JSON Schema text of the config, "" for none.
    pub config_schema: String,
    pub inspection: Inspection,
}

impl Host {
    /// Returns kind, imports and exports of an upload, and its digest: SHA-256, in hex. Refuses
    /// what can't be a plugin, without compiling it.
    pub async fn inspection(&self, wasm: Bytes) -> Result<(Inspection, String), UploadError> {
        let limit_bytes = self.limits.upload_bytes_max;
        if wasm.len() > limit_bytes {
            return Err(UploadError::TooLarge { size_bytes: wasm.len(), limit_bytes });
        }
        let compiler = self.compiler.clone();
        blocking(move || Ok((compiler.inspection(&wasm)?, hex::encode(Sha256::digest(&wasm)))))
            .await
    }

    /// Checks and compiles an upload and calls its `describe`. An upload is a component, or a core
    /// module with its component type. Takes from milliseconds to a minute, on other threads.
    pub async fn compile(&self, wasm: Bytes, owner: &Owner) -> Result<Plugin, UploadError> {
        let limit_bytes = self.limits.upload_bytes_max;
        if wasm.len() > limit_bytes {
            return Err(UploadError::TooLarge { size_bytes: wasm.len(), limit_bytes });
        }
        let size_bytes = wasm.len() as u64;
        let ticket = self.queue.enter(wasm.len())?;
        let (digest, code) = self.machine_code(wasm, Some(ticket)).await?;
        let (placed, described) = self.settle(Arc::new(code), owner).await?;
        let about = described.map_err(UploadError::Describe)?.about;
        if about.description.len() + about.config_schema.len() > self.limits.about_bytes_max {
            let what = format!("more than {} bytes", self.limits.about_bytes_max);
            return Err(UploadError::Describe(CallError::BadOutput(what)));
        }
        let Placed { made, inspection } = placed;
        let made = OnceLock::from(Ok(made));
        let config = config_validator(&about.config_schema)?;
        let code = Code { made, inspection, digest, size_bytes, about, config };
        Ok(self.owned(Arc::new(code), owner))
    }

    /// Loads a plugin that was accepted before a restart. If its code is not in the cache, it is
    /// not ready until [`Host::recompile`] has compiled it.
    pub async fn load(&self, known: Known, owner: &Owner) -> Result<Plugin, UploadError> {
        let Known { digest, size_bytes, description, config_schema, inspection } = known;
        let compiler = self.compiler.clone();
        let wanted = digest.clone();
        let cached = blocking(move || Ok(compiler.cached(&wanted))).await?;
        let made = match cached {
            Some(code) => OnceLock::from(Ok(self.settle(Arc::new(code), owner).await?.0.made)),
            None => OnceLock::new(),
        };
        let config = config_validator(&config_schema)?;
        let about = About { description, config_schema };
        let code = Code { made, inspection, digest, size_bytes, about, config };
        Ok(self.owned(Arc::new(code), owner))
    }

    /// Compiles a plugin from [`Host::load`] that is not ready. On failure its calls return the
    /// reason.
    pub async fn recompile(&self, plugin: &Plugin, wasm: Bytes) -> Result<(), UploadError> {
        let made = async {
            // No ticket: this is not an upload, so there is no client that could retry.
            let (_, code) = self.machine_code(wasm, None).await?;
            Ok(self.settle(Arc::new(code), &plugin.0.owner).await?.0.made)
        };
        let made: Result<Made, UploadError> = made.await;
        let (told, result) = match made {
            Ok(made) => (Ok(made), Ok(())),
            Err(error) => (Err(error.to_string()), Err(error)),
        };
        // Nothing else sets it. If something did, either of two equal results would do.
        let _ = plugin.0.code.made.set(told);
        result
    }

    /// Shares the code with another owner, if it fits that owner's limits.
    #[must_use]
    pub fn share(&self, plugin: &Plugin, owner: &Owner) -> Option<Plugin> {
        let needs_large_pool = self.pool_wanted(owner) == PoolName::Large;
        let fits = !needs_large_pool || plugin.pool() == Some(PoolName::Large);
        fits.then(|| self.owned(plugin.0.code.clone(), owner))
    }

    fn pool_wanted(&self, owner: &Owner) -> PoolName {
        let large = self.limits.needs_large_pool(&owner.tenant, &owner.plugin);
        if large { PoolName::Large } else { PoolName::Small }
    }

    /// Links code in the pool where it belongs. A guest that takes more than half of a small slot's
    /// memory for `describe` has too little left for work, and goes to the large pool.
    async fn settle(
        &self,
        code: Arc<Vec<u8>>,
        owner: &Owner,
    ) -> Result<(Placed, Result<Described, CallError>), UploadError> {
        let placed = self.place(&code, self.pool_wanted(owner)).await?;
        let described = self.describe(&placed).await;
        if placed.made.pool == PoolName::Small
            && needs_more(&described, self.limits.memory_bytes_max)
        {
            let placed = self.place(&code, PoolName::Large).await?;
            let described = self.describe(&placed).await;
            return Ok((placed, described));
        }
        Ok((placed, described))
    }

    /// Digest and machine code, from the cache or the compiler.
    async fn machine_code(
        &self,
        wasm: Bytes,
        ticket: Option<Ticket>,
    ) -> Result<(String, Vec<u8>), UploadError> {
        let limit_ms = self.limits.compile_time_ms;
        let compiler = self.compiler.clone();
        // The semaphore is never closed.
        let turn = self.compiles.clone().acquire_owned().await;
        let compiling = blocking(move || {
            // Held until the compilation ends, even if the caller has given up.
            let _held = (turn, ticket);
            let digest = hex::encode(Sha256::digest(&wasm));
            let code = match compiler.cached(&digest) {
                Some(code) => code,
                None => compiler.compile(&digest, &wasm)?,
            };
            Ok((digest, code))
        });
        match tokio::time::timeout(Duration::from_millis(limit_ms), compiling).await {
            Ok(made) => made,
            Err(_) => Err(UploadError::TooSlow { limit_ms }),
        }
    }

    /// Links code in the first pool that it fits, starting with `first`.
    async fn place(&self, code: &Arc<Vec<u8>>, first: PoolName) -> Result<Placed, UploadError> {
        if first == PoolName::Small {
            match linked(&self.small, code).await? {
                Ok(placed) => return Ok(placed),
                Err(LinkError::Refused(error)) => return Err(error),
                Err(LinkError::TooLarge(_)) => {}
            }
        }
        match linked(&self.large, code).await? {
            Ok(placed) => Ok(placed),
            Err(LinkError::Refused(error)) => Err(error),
            Err(LinkError::TooLarge(what)) => Err(UploadError::Component(what)),
        }
    }

    fn owned(&self, code: Arc<Code>, owner: &Owner) -> Plugin {
        Plugin(Arc::new(Inner {
            code,
            owner: owner.clone(),
            allowed: OnceLock::new(),
            breaker: Breaker::new(self.limits.breaker_failures_max, self.limits.breaker_pause_ms),
            metrics: self.named.metrics(&owner.tenant, &owner.plugin),
        }))
    }

    pub(super) fn allowed(&self, owner: &Owner, pool: PoolName) -> Allowed {
        let limits = self.limits.of_plugin(pool, &owner.tenant, &owner.plugin);
        let slots = Semaphore::new(limits.instances_per_plugin_max as usize);
        Allowed { limits, slots }
    }
}

/// Code that is linked in a pool.
pub(super) struct Placed {
    pub(super) made: Made,
    pub(super) inspection: Inspection,
}

/// Result of `describe`, and the memory that the call took.
pub(super) struct Described {
    pub(super) about: About,
    pub(super) memory_bytes: usize,
}

/// Whether a guest needs a slot of the large pool.
fn needs_more(described: &Result<Described, CallError>, memory_bytes_max: usize) -> bool {
    match described {
        Ok(described) => described.memory_bytes > memory_bytes_max / 2,
        Err(error) => matches!(error, CallError::TooMuchMemory { .. }),
    }
}

async fn linked(
    pool: &Arc<Pool>,
    code: &Arc<Vec<u8>>,
) -> Result<Result<Placed, LinkError>, UploadError> {
    let (pool, code) = (pool.clone(), code.clone());
    blocking(move || {
        let linked = link(&pool, &code);
        Ok(linked.map(|(made, inspection)| Placed { made, inspection }))
    })
    .await
}

/// Runs blocking work outside the async runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, UploadError> + Send + 'static,
) -> Result<T, UploadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| UploadError::Internal(e.to_string()))?
}

/// Bounds of a config's schema; configs are small.
const CONFIG_SCHEMA: antar_schema::Limits = antar_schema::Limits {
    subschemas_max: 10_000,
    steps_max: 2_000_000,
    pattern_bytes_max: 1 << 20,
};

fn config_validator(schema: &str) -> Result<Option<antar_schema::Schema>, UploadError> {
    if schema.is_empty() {
        return Ok(None);
    }
    let refused = |e: String| UploadError::ConfigSchema(e);
    let schema: serde_json::Value =
        serde_json::from_str(schema).map_err(|e| refused(e.to_string()))?;
    let schema = antar_schema::Schema::compile(&schema, CONFIG_SCHEMA);
    schema.map(Some).map_err(|e| refused(e.to_string()))
}
