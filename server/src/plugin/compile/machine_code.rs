//! Machine code of an upload: how it is made, and how its one or two forms lie in one file.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use wasmtime::{Config, Engine};

use super::super::inspection::{component_of, inspection};
use super::super::rewrite::{Room, can_be_tight, rewritten};
use super::super::{UploadError, rewrite};

/// Settings that decide the machine code. All engines share them.
pub(in super::super) fn engine_config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true).wasm_backtrace_max_frames(None);
    config
}

/// An engine that only compiles. Its code runs in the pools' engines.
pub(super) fn engine() -> Result<Engine, UploadError> {
    Engine::new(&engine_config()).map_err(|e| UploadError::Internal(format!("{e:#}")))
}

/// Hash of what the code depends on besides the upload: the compiler's version and settings, and
/// the rewrite's version.
pub(super) fn version(engine: &Engine) -> String {
    let mut hasher = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    rewrite::VERSION.hash(&mut hasher);
    hex::encode(&hasher.0.finalize()[..8])
}

/// A hasher whose result is the same in every build of the server.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// Compiles an upload in both forms, on the threads of this thread's pool. Refuses what can't be a
/// plugin.
pub(super) fn machine_code(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, UploadError> {
    let compiled = |room| {
        let wasm = rewritten(wasm, room);
        let component = component_of(&wasm)?;
        // Refuse what can't be a plugin before the compiler starts.
        inspection(&component)?;
        let code = engine.precompile_component(&component);
        code.map_err(|e| UploadError::Component(format!("{e:#}")))
    };
    let ample = compiled(Room::Ample)?;
    let tight = can_be_tight(wasm).then(|| compiled(Room::Tight)).transpose()?;
    Ok(joined(ample, tight))
}

/// Joins the code of both forms: length of the ample form, ample form, tight form or nothing.
fn joined(ample: Vec<u8>, tight: Option<Vec<u8>>) -> Vec<u8> {
    let length = (ample.len() as u64).to_le_bytes();
    [&length[..], &ample, &tight.unwrap_or_default()].concat()
}

/// The ample form, and the tight one if there is one.
pub(super) fn parted(code: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (length, rest) = code.split_first_chunk()?;
    let (ample, tight) = rest.split_at_checked(u64::from_le_bytes(*length).try_into().ok()?)?;
    Some((ample, Some(tight).filter(|tight| !tight.is_empty())))
}
