//! From uploaded bytes to a plugin that can be called.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, InstancePre};

use super::{
    CallError, Host,
    bindings::{self, filter::FilterPluginPre, transform::TransformPluginPre, types::About},
    guest::Guest,
};

/// The two kinds of plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Says pass or drop.
    Filter,
    /// Returns new data, or drops.
    Transform,
}

/// A compiled plugin. Cloning it copies a pointer. It can be called by the host that made it.
#[derive(Clone)]
pub struct Plugin(Arc<Inner>);

struct Inner {
    entry: Entry,
    digest: String,
    about: About,
    config: Option<jsonschema::Validator>,
    wasm: Bytes,
}

/// A component with its imports linked.
pub(super) enum Entry {
    Filter(FilterPluginPre<Guest>),
    Transform(TransformPluginPre<Guest>),
}

/// Why an upload is refused.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the file has {size_bytes} bytes, allowed are {limit_bytes}")]
    TooLarge { size_bytes: usize, limit_bytes: usize },
    #[error("this is no WebAssembly file: it must begin with the bytes 00 61 73 6d")]
    NotWasm,
    /// A core module without what wit-bindgen writes into it, or with imports that have no types.
    #[error(
        "this module can't be made a component: {0}. Build it with an Antar SDK for the target \
         wasm32-unknown-unknown, or upload a component"
    )]
    Module(String),
    #[error("this component can't be compiled: {0}")]
    Component(String),
    #[error("a plugin may import antar:plugin/log@1.0.0 and nothing else; this one imports {}", .0.join(", "))]
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
    /// A fault of the compiler, not of the upload's form.
    #[error("compiling it failed unexpectedly: {0}")]
    Internal(String),
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
        match self.0.entry {
            Entry::Filter(_) => Kind::Filter,
            Entry::Transform(_) => Kind::Transform,
        }
    }

    /// SHA-256 of the uploaded bytes, in hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    #[must_use]
    pub fn description(&self) -> &str {
        &self.0.about.description
    }

    /// JSON Schema text of the config, if the plugin gives one.
    #[must_use]
    pub fn config_schema(&self) -> Option<&str> {
        Some(self.0.about.config_schema.as_str()).filter(|schema| !schema.is_empty())
    }

    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.0.wasm.len()
    }

    /// What was uploaded: to be stored, and given to [`Host::load`] after a restart.
    #[must_use]
    pub fn wasm(&self) -> &Bytes {
        &self.0.wasm
    }

    /// What its schema has against a config. Without a schema, nothing.
    #[must_use]
    pub fn config_errors(&self, config: &serde_json::Value) -> Vec<ConfigError> {
        let Some(validator) = &self.0.config else { return Vec::new() };
        let error = |e: jsonschema::ValidationError<'_>| ConfigError {
            pointer: e.instance_path().to_string(),
            detail: e.to_string(),
        };
        validator.iter_errors(config).map(error).collect()
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.0.entry
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plugin({:?}, {})", self.kind(), self.digest())
    }
}

impl Host {
    /// Checks and compiles an upload, a component or a core module that carries its component
    /// type, and asks it what it is. Takes from milliseconds to seconds, off the calling thread.
    pub async fn inspect_and_compile(&self, wasm: Bytes) -> Result<Plugin, UploadError> {
        let limit_bytes = self.limits.upload_bytes_max;
        if wasm.len() > limit_bytes {
            return Err(UploadError::TooLarge { size_bytes: wasm.len(), limit_bytes });
        }
        // The semaphore is never closed.
        let turn = self.compiles.acquire().await;
        let (engine, linker, bytes) = (self.engine.clone(), self.linker.clone(), wasm.clone());
        let compiling = tokio::task::spawn_blocking(move || {
            let component = compile(&engine, &bytes)?;
            link(linker, &engine, &component).map(|entry| (entry, digest(&bytes)))
        });
        let (entry, digest) =
            compiling.await.map_err(|e| UploadError::Internal(e.to_string()))??;
        drop(turn);
        let about = self.describe(&entry).await.map_err(UploadError::Describe)?;
        if about.description.len() + about.config_schema.len() > self.limits.about_bytes_max {
            let what = format!("more than {} bytes", self.limits.about_bytes_max);
            return Err(UploadError::Describe(CallError::BadOutput(what)));
        }
        let config = config_validator(&about.config_schema)?;
        Ok(Plugin(Arc::new(Inner { entry, digest, about, config, wasm })))
    }

    /// A plugin that was taken before, after a restart.
    pub async fn load(&self, wasm: &[u8]) -> Result<Plugin, UploadError> {
        self.inspect_and_compile(Bytes::copy_from_slice(wasm)).await
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn compile(engine: &wasmtime::Engine, bytes: &[u8]) -> Result<Component, UploadError> {
    let failed = |e: wasmtime::Error| UploadError::Component(format!("{e:#}"));
    match bytes.get(..8) {
        // Version 1, layer 0: a core module.
        Some(b"\0asm\x01\0\0\0") => {
            let component = wit_component::ComponentEncoder::default()
                .validate(true)
                .module(bytes)
                .and_then(|encoder| encoder.encode())
                .map_err(|e| UploadError::Module(format!("{e:#}")))?;
            Component::new(engine, component).map_err(failed)
        }
        // Only the binary form: `Component::new` would take text and ELF files as well.
        Some(header) if header.starts_with(b"\0asm") => {
            Component::from_binary(engine, bytes).map_err(failed)
        }
        _ => Err(UploadError::NotWasm),
    }
}

/// Checks what the component wants and gives, and links it.
fn link(
    mut linker: wasmtime::component::Linker<Guest>,
    engine: &wasmtime::Engine,
    component: &Component,
) -> Result<Entry, UploadError> {
    let failed = |e: wasmtime::Error| UploadError::Component(format!("{e:#}"));
    let form = component.component_type();
    let names = || form.imports(engine).map(|(name, _)| name);
    let allowed = |name: &str| bindings::IMPORTS.contains(&name) || name.starts_with("wasi:");
    let refused: Vec<String> = names().filter(|n| !allowed(n)).map(str::to_owned).collect();
    if !refused.is_empty() {
        return Err(UploadError::Imports(refused));
    }
    if names().any(|name| name.starts_with("wasi:")) {
        // Many tool chains import WASI for things they never call. Calling one is a trap.
        linker.define_unknown_imports_as_traps(component).map_err(failed)?;
    }
    let exports: Vec<&str> = form.exports(engine).map(|(name, _)| name).collect();
    let linked: InstancePre<Guest> = linker.instantiate_pre(component).map_err(failed)?;
    match (exports.contains(&bindings::FILTER), exports.contains(&bindings::TRANSFORM)) {
        (true, false) => FilterPluginPre::new(linked).map(Entry::Filter).map_err(failed),
        (false, true) => TransformPluginPre::new(linked).map(Entry::Transform).map_err(failed),
        _ => Err(UploadError::Exports(exports.into_iter().map(str::to_owned).collect())),
    }
}

fn config_validator(schema: &str) -> Result<Option<jsonschema::Validator>, UploadError> {
    if schema.is_empty() {
        return Ok(None);
    }
    let refused = |e: String| UploadError::ConfigSchema(e);
    let schema: serde_json::Value =
        serde_json::from_str(schema).map_err(|e| refused(e.to_string()))?;
    jsonschema::validator_for(&schema).map(Some).map_err(|e| refused(e.to_string()))
}
