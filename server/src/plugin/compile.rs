//! From bytes to machine code, and from that to something that can be called.

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

/// How far the compiler stands behind everything else, as `nice` counts.
const NICE: i32 = 5;
const STACK_BYTES: usize = 16 << 20;

/// Makes machine code, on threads of its own that give way to all others.
pub(super) struct Compiler {
    engine: Engine,
    cache: Option<Cache>,
    threads: rayon::ThreadPool,
    /// For looking into uploads while others are compiled.
    readers: rayon::ThreadPool,
    /// How often the compiler really ran.
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
                // Deeply nested uploads are followed by recursion, up to the parser's limits.
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

    /// Code that was made from the file of this digest before.
    pub(super) fn cached(&self, digest: &str) -> Option<Vec<u8>> {
        self.cache.as_ref()?.get(digest)
    }

    /// What an upload asks for and offers.
    pub(super) fn inspection(&self, wasm: &[u8]) -> Result<Inspection, UploadError> {
        self.readers.install(|| inspection(&component_of(wasm)?))
    }

    /// Makes code of an upload. Takes from milliseconds to a minute, and holds the thread.
    pub(super) fn compile(&self, digest: &str, wasm: &[u8]) -> Result<Vec<u8>, UploadError> {
        let code = self.threads.install(|| {
            let compiled = |room| {
                let wasm = rewritten(wasm, room);
                let component = component_of(&wasm)?;
                // What can't be a plugin is told before the compiler begins.
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

/// Puts this thread behind all others. On Linux a thread has a priority of its own.
fn give_way() {
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "there is no safe call for it without another crate")]
    // SAFETY: takes three numbers; 0 is the calling thread. Where it fails nothing changes.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
}

/// Code of both forms as one: the length of the first, the first, the second or nothing.
fn joined(ample: Vec<u8>, tight: Option<Vec<u8>>) -> Vec<u8> {
    let length = (ample.len() as u64).to_le_bytes();
    [&length[..], &ample, &tight.unwrap_or_default()].concat()
}

fn parted(code: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (length, rest) = code.split_first_chunk()?;
    let (ample, tight) = rest.split_at_checked(u64::from_le_bytes(*length).try_into().ok()?)?;
    Some((ample, Some(tight).filter(|tight| !tight.is_empty())))
}

/// Why code can't be used in a pool.
pub(super) enum LinkError {
    /// It asks for more than the pool's slots have.
    TooLarge(String),
    Refused(UploadError),
}

/// Loads code that [`Compiler`] made, and links it to what plugins may use.
pub(super) fn link(pool: &Pool, code: &[u8]) -> Result<(Made, Inspection), LinkError> {
    let cut_off = || LinkError::Refused(UploadError::Internal("its code is cut off".into()));
    let (ample, tight) = parted(code).ok_or_else(cut_off)?;
    let (slots, component) = load(pool.engines.iter(), ample)?;
    let inspection = inspection_of(&slots.engine, &component).map_err(LinkError::Refused)?;
    let entry = |slots, component: &_| {
        entry_of(slots, component, inspection.kind).map_err(LinkError::Refused)
    };
    let ample = Linked::ample(entry(slots, &component)?, slots.engine.clone());
    // Of use only where it is cleared.
    let clearing = pool.engines.iter().filter(|slots| slots.clears());
    let tight = tight.and_then(|code| load(clearing, code).ok());
    let tight = tight.map(|(slots, component)| {
        Ok(Linked::tight(entry(slots, &component)?, slots.engine.clone()))
    });
    Ok((Made { ample, tight: tight.transpose()?, pool: pool.name }, inspection))
}

/// In the first engine that suits it.
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
            // Code of these settings loads, unless it asks for more than a slot has.
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

/// Links a component to what plugins may use.
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
