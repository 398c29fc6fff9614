//! What an upload asks for and offers, read before it is compiled: reading takes milliseconds.

use std::borrow::Cow;

use wasmparser::{Parser, Payload};

use super::rewrite::DIRECT_LOG;
use super::{Kind, UploadError, bindings, empty_world};

/// Names at the top of a component that are looked at. A plugin has a few dozen.
const NAMES_MAX: usize = 1_000;

/// What a component is, by its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub kind: Kind,
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// The upload as a component: itself, or made from a core module with its component type.
pub(super) fn component_of(bytes: &[u8]) -> Result<Cow<'_, [u8]>, UploadError> {
    match bytes.get(..8) {
        // Version 1, layer 0: a core module.
        Some(b"\0asm\x01\0\0\0") => wit_component::ComponentEncoder::default()
            .validate(true)
            .module(bytes)
            .and_then(|encoder| encoder.encode())
            .map(Cow::Owned)
            .map_err(|e| UploadError::Module(format!("{e:#}"))),
        // Only the binary form: the compiler would take text and ELF files as well.
        Some(header) if header.starts_with(b"\0asm") => Ok(Cow::Borrowed(bytes)),
        _ => Err(UploadError::NotWasm),
    }
}

/// Reads the names and refuses what can't be a plugin. Whether the rest is right is for the
/// compiler to say.
pub(super) fn inspection(component: &[u8]) -> Result<Inspection, UploadError> {
    let (imports, exports) = names(component)?;
    Inspection::of(imports, exports)
}

impl Inspection {
    pub(super) fn of(
        mut imports: Vec<String>,
        exports: Vec<String>,
    ) -> Result<Inspection, UploadError> {
        // As the plugin has it, also where its log was rewritten.
        for name in imports.iter_mut().filter(|name| *name == DIRECT_LOG) {
            bindings::LOG.clone_into(name);
        }
        let allowed = |name: &String| {
            bindings::IMPORTS.contains(&name.as_str()) || empty_world::is_wasi(name)
        };
        let refused: Vec<String> = imports.iter().filter(|name| !allowed(name)).cloned().collect();
        if !refused.is_empty() {
            return Err(UploadError::Imports(refused));
        }
        let has = |wanted: &str| exports.iter().any(|name| name == wanted);
        let kind = match (has(bindings::FILTER), has(bindings::TRANSFORM)) {
            (true, false) => Kind::Filter,
            (false, true) => Kind::Transform,
            _ => return Err(UploadError::Exports(exports)),
        };
        // Tool chains, and what is done to a module, put them in another order.
        imports.sort_unstable();
        Ok(Inspection { kind, imports, exports })
    }

    /// Whether it needs a world to look at.
    pub(super) fn imports_wasi(&self) -> bool {
        self.imports.iter().any(|name| empty_world::is_wasi(name))
    }
}

fn names(component: &[u8]) -> Result<(Vec<String>, Vec<String>), UploadError> {
    let broken = |e: wasmparser::BinaryReaderError| UploadError::Component(e.to_string());
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    // Modules and components inside of this one.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(broken)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(broken)?.name.name.to_owned());
                    bounded(&imports)?;
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(broken)?.name.name.to_owned());
                    bounded(&exports)?;
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn bounded(names: &[String]) -> Result<(), UploadError> {
    if names.len() > NAMES_MAX {
        let what = format!("it has more than {NAMES_MAX} imports or exports");
        return Err(UploadError::Component(what));
    }
    Ok(())
}
