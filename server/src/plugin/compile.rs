//! Compiles uploads to machine code, and links machine code so that it can be called.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wasmtime::{
    Engine,
    component::{Component, InstancePre},
};

use super::bindings::filter::FilterPluginPre;
use super::bindings::transform::TransformPluginPre;
use super::cache::Cache;
use super::callable::{Entry, Linked, Made};
use super::guest::Guest;
use super::inspection::{component_of, inspection};
use super::pool::{Pool, Slots};
use super::rewrite::{Room, can_be_tight, rewritten};
use super::{Inspection, Kind, UploadError, empty_world};

/// The `nice` value of the compiler's threads: all other work goes first.
const NICE: i32 = 5;
const STACK_BYTES: usize = 16 << 20;

/// Compiles on threads of its own, which have a lower priority than all others.
pub(super) struct Compiler {
    engine: Engine,
    cache: Option<Cache>,
    threads: rayon::ThreadPool,
    /// Inspects uploads while others are compiled.
    readers: rayon::ThreadPool,
    /// Compilations so far; cache hits don't count.
    compiled: AtomicU64,
}

impl Compiler {
    pub(super) fn new(
        engine: Engine,
        cache: Option<Cache>,
    ) -> Result<Compiler, rayon::ThreadPoolBuildError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = |count, name| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(count)
                .thread_name(move |number| format!("plugin-{name}-{number}"))
                // The parser recurses into deeply nested uploads, up to its own limits.
                .stack_size(STACK_BYTES)
                .start_handler(|_| give_way())
                .build()
        };
        let (readers, threads) = (threads(1, "reader")?, threads((cores / 2).max(1), "compiler")?);
        Ok(Compiler { engine, cache, threads, readers, compiled: AtomicU64::new(0) })
    }

    #[cfg(test)]
    pub(super) fn compiled(&self) -> u64 {
        self.compiled.load(Relaxed)
    }

    /// Cached machine code for the file of this digest.
    pub(super) fn cached(&self, digest: &str) -> Option<Vec<u8>> {
        self.cache.as_ref()?.get(digest)
    }

    /// Kind, imports and exports of an upload.
    pub(super) fn inspection(&self, wasm: &[u8]) -> Result<Inspection, UploadError> {
        self.readers.install(|| inspection(&component_of(wasm)?))
    }

    /// Compiles an upload. Blocks the thread, from milliseconds to a minute.
    pub(super) fn compile(&self, digest: &str, wasm: &[u8]) -> Result<Vec<u8>, UploadError> {
        let code = self.threads.install(|| {
            let compiled = |room| {
                let wasm = rewritten(wasm, room);
                let component = component_of(&wasm)?;
                // Refuse what can't be a plugin before the compiler starts.
                inspection(&component)?;
                let code = self.engine.precompile_component(&component);
                code.map_err(|e| UploadError::Component(format!("{e:#}")))
            };
            let ample = compiled(Room::Ample)?;
            let tight = can_be_tight(wasm).then(|| compiled(Room::Tight)).transpose()?;
            Ok::<_, UploadError>(joined(ample, tight))
        })?;
        self.compiled.fetch_add(1, Relaxed);
        if let Some(cache) = &self.cache {
            cache.put(digest, &code);
        }
        Ok(code)
    }
}

/// Lowers the priority of this thread. Only on Linux, where each thread has a priority of its own.
fn give_way() {
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "there is no safe call for it without another crate")]
    // SAFETY: the call takes three numbers; 0 is the calling thread. If it fails, nothing changes.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
}

/// Joins the code of both forms: length of the ample form, ample form, tight form or nothing.
fn joined(ample: Vec<u8>, tight: Option<Vec<u8>>) -> Vec<u8> {
    let length = (ample.len() as u64).to_le_bytes();
    [&length[..], &ample, &tight.unwrap_or_default()].concat()
}

fn parted(code: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (length, rest) = code.split_first_chunk()?;
    let (ample, tight) = rest.split_at_checked(u64::from_le_bytes(*length).try_into().ok()?)?;
    Some((ample, Some(tight).filter(|tight| !tight.is_empty())))
}

/// Why code can't be linked in a pool.
pub(super) enum LinkError {
    /// It needs more than a slot of the pool has.
    TooLarge(String),
    Refused(UploadError),
}

/// Loads code made by [`Compiler`] and links its imports.
pub(super) fn link(pool: &Pool, code: &[u8]) -> Result<(Made, Inspection), LinkError> {
    let cut_off = || LinkError::Refused(UploadError::Internal("its code is cut off".into()));
    let (ample, tight) = parted(code).ok_or_else(cut_off)?;
    let (slots, component) = load(pool.engines.iter(), ample)?;
    let inspection = inspection_of(&slots.engine, &component).map_err(LinkError::Refused)?;
    let entry = |slots, component: &_| {
        entry_of(slots, component, inspection.kind).map_err(LinkError::Refused)
    };
    let ample = Linked::ample(entry(slots, &component)?, slots.engine.clone());
    // The tight form saves time only in slots whose memory is cleared.
    let clearing = pool.engines.iter().filter(|slots| slots.clears());
    let tight = tight.and_then(|code| load(clearing, code).ok());
    let tight = tight.map(|(slots, component)| {
        Ok(Linked::tight(entry(slots, &component)?, slots.engine.clone()))
    });
    Ok((Made { ample, tight: tight.transpose()?, pool: pool.name }, inspection))
}

/// Loads code into the first engine that suits it.
fn load<'a>(
    engines: impl Iterator<Item = &'a Slots>,
    code: &[u8],
) -> Result<(&'a Slots, Component), LinkError> {
    let mut refused = String::new();
    for slots in engines {
        // SAFETY: the code was made by this process, or by an earlier one and is unchanged since.
        #[expect(unsafe_code, reason = "machine code is trusted; the cache says why that is sound")]
        match unsafe { Component::deserialize(&slots.engine, code) } {
            Ok(component) if slots.suits(&component) => return Ok((slots, component)),
            Ok(_) => {}
            // Code for these settings loads unless it needs more than a slot has.
            Err(e) => refused = format!("{e:#}"),
        }
    }
    Err(LinkError::TooLarge(refused))
}

fn inspection_of(engine: &Engine, component: &Component) -> Result<Inspection, UploadError> {
    let form = component.component_type();
    let imports = form.imports(engine).map(|(name, _)| name.to_owned());
    let exports = form.exports(engine).map(|(name, _)| name.to_owned());
    Inspection::of(imports.collect(), exports.collect())
}

/// Links a component to the log and to the WASI functions that it imports.
fn entry_of(slots: &Slots, component: &Component, kind: Kind) -> Result<Entry, UploadError> {
    let refused = |e: wasmtime::Error| UploadError::Component(format!("{e:#}"));
    let mut linker = slots.linker.clone();
    empty_world::link(&mut linker, &slots.engine, component).map_err(refused)?;
    let linked: InstancePre<Guest> = linker.instantiate_pre(component).map_err(refused)?;
    let entry = match kind {
        Kind::Filter => FilterPluginPre::new(linked).map(Entry::Filter),
        Kind::Transform => TransformPluginPre::new(linked).map(Entry::Transform),
    };
    entry.map_err(refused)
}
