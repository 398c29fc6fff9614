//! Turns uploaded bytes into a plugin that can be called.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::bindings::types::About;
use super::call_breaker::Breaker;
use super::callable::{Allowed, Code, Inner, Made};
use super::compile::blocking;
use super::compile::link::{LinkError, link};
use super::compile::turns::{Ticket, Turn};
use super::inspection::{at_first_sight, sizes};
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
    /// A size that makes a compilation take long or much memory.
    #[error("{found}, and plugins.{limit} is {most}")]
    Exceeds { found: String, limit: &'static str, most: usize },
    #[error("compiling it took longer than {limit_ms} ms (plugins.compile_time_ms)")]
    TooSlow { limit_ms: u64 },
    #[error(
        "compiling it takes more than {limit_s} s of processor time (plugins.compile_cpu_s_max); \
         make its functions shorter"
    )]
    TooMuchCpu { limit_s: u64 },
    #[error(
        "compiling it takes more than {limit_bytes} bytes of memory \
         (plugins.compile_memory_bytes_max); make its functions shorter"
    )]
    TooMuchMemory { limit_bytes: u64 },
    #[error("its machine code has more than {limit_bytes} bytes (plugins.code_bytes_max)")]
    TooMuchCode { limit_bytes: u64 },
    #[error("the compiler crashes on it: {0}")]
    Crashed(String),
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
    /// Where it ran before.
    pub pool: Option<PoolName>,
}

/// An upload that was read and waits for its compilation.
pub struct Taken {
    wasm: Bytes,
    ticket: Ticket,
    /// SHA-256 of the uploaded bytes, in hex.
    pub digest: String,
    /// What the upload says of itself.
    pub inspection: Inspection,
}

impl Host {
    /// Reads an upload once its tenant may have one read. Refuses what is too large in any respect,
    /// what can't be a plugin, and what would exceed the bounds of waiting uploads.
    pub async fn take(&self, wasm: Bytes, owner: &Owner) -> Result<Taken, UploadError> {
        let limit_bytes = self.limits.upload_bytes_max;
        if wasm.len() > limit_bytes {
            return Err(UploadError::TooLarge { size_bytes: wasm.len(), limit_bytes });
        }
        let ticket = self.turns.enter(&owner.tenant, wasm.len())?;
        let turn = ticket.reading().await;
        let (limits, bytes) = (self.limits.clone(), wasm.clone());
        let (inspection, digest) = blocking(move || {
            // Held until this has been read, even if the caller has given up.
            let _turn = turn;
            let inspection = at_first_sight(&bytes)?;
            sizes::check(&bytes, &limits)?;
            Ok((inspection, hex::encode(Sha256::digest(&bytes))))
        })
        .await?;
        Ok(Taken { wasm, ticket, digest, inspection })
    }

    /// Compiles an upload once its tenant may have one compiled, and calls its `describe`. Takes
    /// from milliseconds to a minute.
    pub async fn compile_taken(&self, taken: Taken, owner: &Owner) -> Result<Plugin, UploadError> {
        let Taken { wasm, ticket, digest, .. } = taken;
        self.compile_now(ticket.compiling().await, wasm, digest, owner).await
    }

    /// Checks and compiles an upload. An upload is a component, or a core module with its component
    /// type.
    pub async fn compile(&self, wasm: Bytes, owner: &Owner) -> Result<Plugin, UploadError> {
        let taken = self.take(wasm, owner).await?;
        self.compile_taken(taken, owner).await
    }

    /// Waits until a tenant may have a file compiled that was taken before a restart.
    pub async fn turn(&self, tenant: &str) -> Turn {
        self.turns.enter_again(tenant).compiling().await
    }

    /// Compiles a file that was taken before a restart.
    pub async fn compile_again(
        &self,
        turn: Turn,
        wasm: Bytes,
        owner: &Owner,
    ) -> Result<Plugin, UploadError> {
        let digest = digest_of(&wasm).await?;
        self.compile_now(turn, wasm, digest, owner).await
    }

    async fn compile_now(
        &self,
        turn: Turn,
        wasm: Bytes,
        digest: String,
        owner: &Owner,
    ) -> Result<Plugin, UploadError> {
        let size_bytes = wasm.len() as u64;
        // The turn lasts until `describe` has ended, which may take long as well.
        let (code, _turn) = self.compiler.code(digest.clone(), wasm, turn).await?;
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
    /// not ready until [`Host::recompile`] has compiled it. Calls nothing of the plugin if its pool
    /// is known: a start with many plugins must not wait for them.
    pub async fn load(&self, known: Known, owner: &Owner) -> Result<Plugin, UploadError> {
        let Known { digest, size_bytes, description, config_schema, inspection, pool } = known;
        let compiler = self.compiler.clone();
        let wanted = digest.clone();
        let cached = blocking(move || Ok(compiler.cached(&wanted))).await?;
        let made = match (cached, pool) {
            (None, _) => OnceLock::new(),
            (Some(code), Some(PoolName::Small)) => {
                let placed = self.place(&Arc::new(code), self.pool_wanted(owner)).await?;
                OnceLock::from(Ok(placed.made))
            }
            (Some(code), Some(PoolName::Large)) => {
                OnceLock::from(Ok(self.place(&Arc::new(code), PoolName::Large).await?.made))
            }
            (Some(code), None) => {
                OnceLock::from(Ok(self.settle(Arc::new(code), owner).await?.0.made))
            }
        };
        let config = config_validator(&config_schema)?;
        let about = About { description, config_schema };
        let code = Code { made, inspection, digest, size_bytes, about, config };
        Ok(self.owned(Arc::new(code), owner))
    }

    /// Compiles a plugin from [`Host::load`] that is not ready. If it can't be compiled, its calls
    /// return the reason; after a fault of this machine it stays as it is.
    pub async fn recompile(
        &self,
        turn: Turn,
        plugin: &Plugin,
        wasm: Bytes,
    ) -> Result<(), UploadError> {
        let made = async {
            let digest = digest_of(&wasm).await?;
            let (code, _turn) = self.compiler.code(digest, wasm, turn).await?;
            Ok(self.settle(Arc::new(code), &plugin.0.owner).await?.0.made)
        };
        let made: Result<Made, UploadError> = made.await;
        let (told, result) = match made {
            Ok(made) => (Ok(made), Ok(())),
            Err(error @ UploadError::Internal(_)) => return Err(error),
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
        let described = self.describe(&placed, owner).await;
        if placed.made.pool == PoolName::Small
            && needs_more(&described, self.limits.memory_bytes_max)
        {
            let placed = self.place(&code, PoolName::Large).await?;
            let described = self.describe(&placed, owner).await;
            return Ok((placed, described));
        }
        Ok((placed, described))
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
        Allowed { limits, slots, share: self.shares.of(&owner.tenant) }
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

async fn digest_of(wasm: &Bytes) -> Result<String, UploadError> {
    let wasm = wasm.clone();
    blocking(move || Ok(hex::encode(Sha256::digest(&wasm)))).await
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
