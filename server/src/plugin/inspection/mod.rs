//! What can be said of an upload before it is compiled: its sizes, and what it imports and exports.
//!
//! The server reads an upload in two passes that take constant time for each byte. Everything else,
//! from making a module a component to validation, is done where it is compiled.

mod function;
pub(super) mod quote;
pub(super) mod sizes;

use std::{borrow::Cow, collections::BTreeSet};

use wasmparser::{Parser, Payload};

use self::quote::first;
use super::rewrite::DIRECT_LOG;
use super::{Kind, UploadError, bindings, empty_world};

/// Limit of the imports, and of the exports, at a component's top level. A plugin has a few dozen.
const NAMES_MAX: usize = 1_000;

/// A reason in a refusal is cut after this; it may quote the upload.
const REASON_CHARS_MAX: usize = 2_000;

/// How tool chains begin the names of exports that follow the component model's standard names.
const STANDARD_NAME: &str = "cm32p2|";

/// Kind, imports and exports of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub kind: Kind,
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// Kind, imports and exports of an upload at first sight; for a module they are what its names say.
/// Refuses what can't be a plugin.
pub(super) fn at_first_sight(wasm: &[u8]) -> Result<Inspection, UploadError> {
    if !wasm.starts_with(b"\0asm") {
        return Err(UploadError::NotWasm);
    }
    if Parser::is_core_wasm(wasm) { of_module(wasm) } else { inspection(wasm) }
}

fn of_module(module: &[u8]) -> Result<Inspection, UploadError> {
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(broken)? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imports.insert(import.map_err(broken)?.module);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    exports.extend(interface_of(export.map_err(broken)?.name));
                }
            }
            _ => {}
        }
    }
    let kind = match (exports.contains(bindings::FILTER), exports.contains(bindings::TRANSFORM)) {
        (true, false) => Kind::Filter,
        (false, true) => Kind::Transform,
        _ => {
            let what = "it must export the functions of one of the interfaces \
                        antar:plugin/filter@1.0.0 and antar:plugin/transform@1.0.0";
            return Err(UploadError::Module(what.into()));
        }
    };
    let imports = first(imports.into_iter().map(str::to_owned).collect());
    Ok(Inspection { kind, imports, exports: exports.into_iter().map(str::to_owned).collect() })
}

/// The interface to which a module's export belongs, if it is one of a plugin.
fn interface_of(export: &str) -> Option<&'static str> {
    [bindings::FILTER, bindings::TRANSFORM].into_iter().find(|interface| {
        let rest = export.strip_prefix(interface);
        // A standard name has the first part of the version only.
        let standard = export
            .strip_prefix(STANDARD_NAME)
            .and_then(|name| name.strip_prefix(interface.trim_end_matches(".0.0")));
        rest.is_some_and(|rest| rest.starts_with('#'))
            || standard.is_some_and(|rest| rest.starts_with('|'))
    })
}

/// Returns the upload as a component. A core module becomes one by its embedded component type.
pub(super) fn component_of(bytes: &[u8]) -> Result<Cow<'_, [u8]>, UploadError> {
    match bytes.get(..8) {
        // Version 1, layer 0: a core module.
        Some(b"\0asm\x01\0\0\0") => wit_component::ComponentEncoder::default()
            .validate(true)
            .module(bytes)
            .and_then(|encoder| encoder.encode())
            .map(Cow::Owned)
            .map_err(|e| UploadError::Module(format!("{e:#}"))),
        // Only the binary format is accepted; the compiler would also take text and ELF files.
        Some(header) if header.starts_with(b"\0asm") => Ok(Cow::Borrowed(bytes)),
        _ => Err(UploadError::NotWasm),
    }
}

/// Reads the names of imports and exports and refuses what can't be a plugin. The compiler
/// validates the rest.
pub(super) fn inspection(component: &[u8]) -> Result<Inspection, UploadError> {
    let (imports, exports) = names(component)?;
    Inspection::of(imports, exports)
}

impl Inspection {
    pub(super) fn of(
        mut imports: Vec<String>,
        exports: Vec<String>,
    ) -> Result<Inspection, UploadError> {
        // Report the import's original name, also if it was rewritten.
        for name in imports.iter_mut().filter(|name| *name == DIRECT_LOG) {
            bindings::LOG.clone_into(name);
        }
        let allowed = |name: &String| {
            bindings::IMPORTS.contains(&name.as_str()) || empty_world::is_wasi(name)
        };
        let refused: Vec<String> = imports.iter().filter(|name| !allowed(name)).cloned().collect();
        if !refused.is_empty() {
            return Err(UploadError::Imports(first(refused)));
        }
        let has = |wanted: &str| exports.iter().any(|name| name == wanted);
        let kind = match (has(bindings::FILTER), has(bindings::TRANSFORM)) {
            (true, false) => Kind::Filter,
            (false, true) => Kind::Transform,
            _ => return Err(UploadError::Exports(first(exports))),
        };
        // The order depends on the tool chain and on the rewrite.
        imports.sort_unstable();
        Ok(Inspection { kind, imports, exports })
    }

    /// Whether a call needs a `World`.
    pub(super) fn imports_wasi(&self) -> bool {
        self.imports.iter().any(|name| empty_world::is_wasi(name))
    }
}

fn names(component: &[u8]) -> Result<(Vec<String>, Vec<String>), UploadError> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    // Depth of nested modules and components; 0 is the outermost.
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

fn broken(error: wasmparser::BinaryReaderError) -> UploadError {
    UploadError::Component(quote::cut(&error.to_string(), REASON_CHARS_MAX))
}

fn bounded(names: &[String]) -> Result<(), UploadError> {
    if names.len() > NAMES_MAX {
        let what = format!("it has more than {NAMES_MAX} imports or exports");
        return Err(UploadError::Component(what));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
