//! Loads machine code and links its imports, so that it can be called.

use wasmtime::component::{Component, InstancePre};

use super::super::bindings::filter::FilterPluginPre;
use super::super::bindings::transform::TransformPluginPre;
use super::super::callable::{Entry, Linked, Made};
use super::super::guest::Guest;
use super::super::pool::{Pool, Slots};
use super::super::{Inspection, Kind, UploadError, empty_world};
use super::machine_code::parted;

/// Why code can't be linked in a pool.
pub(in super::super) enum LinkError {
    /// It needs more than a slot of the pool has.
    TooLarge(String),
    Refused(UploadError),
}

/// Loads code made by the compiler and links its imports.
pub(in super::super) fn link(pool: &Pool, code: &[u8]) -> Result<(Made, Inspection), LinkError> {
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
        // SAFETY: the code was made by the compiler of this server, now or earlier, and is unchanged since.
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

fn inspection_of(
    engine: &wasmtime::Engine,
    component: &Component,
) -> Result<Inspection, UploadError> {
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
