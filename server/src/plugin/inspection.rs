//! Reads the imports and exports of an upload before it is compiled. Takes milliseconds.

use std::borrow::Cow;

use wasmparser::{Parser, Payload};

use super::rewrite::DIRECT_LOG;
use super::{Kind, UploadError, bindings, empty_world};

/// Limit of the imports, and of the exports, at a component's top level. A plugin has a few dozen.
const NAMES_MAX: usize = 1_000;

/// Kind, imports and exports of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub kind: Kind,
    pub imports: Vec<String>,
    pub exports: Vec<String>,
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
            return Err(UploadError::Imports(refused));
        }
        let has = |wanted: &str| exports.iter().any(|name| name == wanted);
        let kind = match (has(bindings::FILTER), has(bindings::TRANSFORM)) {
            (true, false) => Kind::Filter,
            (false, true) => Kind::Transform,
            _ => return Err(UploadError::Exports(exports)),
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
    let broken = |e: wasmparser::BinaryReaderError| UploadError::Component(e.to_string());
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

fn bounded(names: &[String]) -> Result<(), UploadError> {
    if names.len() > NAMES_MAX {
        let what = format!("it has more than {NAMES_MAX} imports or exports");
        return Err(UploadError::Component(what));
    }
    Ok(())
}
