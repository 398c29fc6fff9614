//! `antar plugin inspect`: shows what a .wasm file contains and imports.

use std::path::PathBuf;

use antar_json::{Builder, Document};
use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use wasmparser::{Encoding, Parser, Payload};

use super::local::Local;
use super::size;
use crate::cli::terminal::pretty::pretty;
use crate::cli::terminal::screen::{BOLD, DIM, GREEN, RED, Screen};
use crate::plugin::Plugin;

/// Shows what is in a .wasm file, and what it asks for.
///
/// Component or module, kind, imports by name and whether each is allowed, exports, size, memory,
/// digest, description and config schema. It ends with 1 when a server would refuse the file.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// A .wasm file.
    file: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  antar plugin inspect build/vip-only.wasm
  antar plugin inspect other.wasm --format json | jq .imports";

/// Size of a WebAssembly memory page.
const PAGE_BYTES: u64 = 64 << 10;

/// Contents of a .wasm file.
#[derive(Default)]
struct Contents {
    is_component: bool,
    /// Why a module can't be turned into a component.
    refused: Option<String>,
    imports: Vec<String>,
    exports: Vec<String>,
    /// Initial size of all its memories.
    memory_bytes: u64,
    modules: usize,
}

pub(super) async fn run(arguments: &Arguments, screen: Screen) -> anyhow::Result<()> {
    let named = || arguments.file.display().to_string();
    let wasm = std::fs::read(&arguments.file).with_context(named)?;
    if !wasm.starts_with(b"\0asm") {
        bail!("{} is no WebAssembly file: those begin with the bytes 00 61 73 6d", named());
    }
    let contents = contents(&wasm).with_context(named)?;
    let digest = hex::encode(Sha256::digest(&wasm));
    let size_bytes = wasm.len();
    let plugin = Local::of(wasm).await?.map(|local| local.plugin);
    if screen.is_text() {
        show(&contents, &digest, size_bytes, plugin.as_ref().ok(), screen);
    } else {
        let why = plugin.as_ref().err().map(ToString::to_string);
        screen.line(json(&contents, &digest, size_bytes, plugin.as_ref().ok(), why).text());
    }
    plugin.map(|_| ()).with_context(|| format!("a server refuses {}", named()))
}

/// Whether a plugin may import it. The host makes the final decision.
fn is_allowed(import: &str) -> bool {
    import.starts_with("antar:plugin/") || is_wasi(import)
}

fn is_wasi(import: &str) -> bool {
    import.starts_with("wasi:")
}

fn contents(wasm: &[u8]) -> anyhow::Result<Contents> {
    let is_component = Parser::is_component(wasm);
    if is_component {
        return read(wasm, true);
    }
    let component = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(wasm)
        .and_then(|encoder| encoder.encode());
    match component {
        Ok(component) => Ok(Contents { is_component, ..read(&component, true)? }),
        Err(error) => Ok(Contents { refused: Some(format!("{error:#}")), ..read(wasm, false)? }),
    }
}

/// Reads the outermost imports and exports, and all memories.
fn read(wasm: &[u8], is_component: bool) -> anyhow::Result<Contents> {
    let mut contents = Contents { is_component, ..Contents::default() };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::Version { encoding, .. } => {
                depth += 1;
                contents.modules += usize::from(encoding == Encoding::Module);
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    contents.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    contents.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) if depth == 1 => {
                for import in section.into_imports() {
                    let import = import?;
                    contents.imports.push(format!("{} {}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) if depth == 1 => {
                for export in section {
                    contents.exports.push(export?.name.to_owned());
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    contents.memory_bytes += memory?.initial.saturating_mul(PAGE_BYTES);
                }
            }
            _ => {}
        }
    }
    Ok(contents)
}

fn show(
    contents: &Contents,
    digest: &str,
    size_bytes: usize,
    plugin: Option<&Plugin>,
    screen: Screen,
) {
    let row = |name: &str, value: &str| {
        screen.line(&format!("{} {value}", screen.paint(BOLD, &format!("{name:12}"))));
    };
    let form = match (contents.is_component, &contents.refused) {
        (true, _) => "component",
        (false, None) => "module with a component type; it becomes a component on upload",
        (false, Some(_)) => "module without a component type",
    };
    row("form", form);
    if let Some(plugin) = plugin {
        row("kind", super::project::WrittenKind::of(plugin.kind()).name());
    }
    row("size", &size(size_bytes));
    let memory = size(usize::try_from(contents.memory_bytes).unwrap_or(usize::MAX));
    row("memory", &format!("{memory} to begin with, {} modules", contents.modules));
    row("sha256", digest);
    for (index, import) in contents.imports.iter().enumerate() {
        let verdict = match (is_wasi(import), is_allowed(import)) {
            (true, _) => screen.paint(DIM, "allowed, does nothing"),
            (_, true) => screen.paint(GREEN, "allowed"),
            (_, false) => screen.paint(RED, "REFUSED"),
        };
        row(if index == 0 { "imports" } else { "" }, &format!("{import}  {verdict}"));
    }
    for (index, export) in contents.exports.iter().enumerate() {
        row(if index == 0 { "exports" } else { "" }, export);
    }
    let Some(plugin) = plugin else { return };
    for (index, line) in plugin.description().lines().enumerate() {
        row(if index == 0 { "description" } else { "" }, line);
    }
    match plugin.config_schema().map(str::parse::<Document>) {
        Some(Ok(schema)) => {
            row("config", "");
            screen.line(&pretty(&schema));
        }
        _ => row("config", "without a schema"),
    }
}

fn json(
    contents: &Contents,
    digest: &str,
    size_bytes: usize,
    plugin: Option<&Plugin>,
    why: Option<String>,
) -> Document {
    let mut out = Builder::new();
    let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    out.object().key("form").string(if contents.is_component { "component" } else { "module" });
    out.key("size_bytes").number(number(size_bytes as u64));
    out.key("memory_bytes").number(number(contents.memory_bytes));
    out.key("digest").string(digest).key("imports").array();
    for import in &contents.imports {
        out.object().key("name").string(import).key("allowed").bool(is_allowed(import)).end();
    }
    out.end().key("exports").array();
    contents.exports.iter().for_each(|export| {
        out.string(export);
    });
    out.end();
    if let Some(plugin) = plugin {
        out.key("kind").string(super::project::WrittenKind::of(plugin.kind()).name());
        out.key("description").string(plugin.description()).key("config_schema");
        match plugin.config_schema().map(str::parse::<Document>) {
            Some(Ok(schema)) => out.copy(schema.root()),
            _ => out.null(),
        };
    }
    if let Some(why) = why {
        out.key("refused").string(&why);
    }
    out.end();
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_read_without_its_inner_ones() {
        let wasm = wat::parse_str(
            r#"(component
                (import "wasi:cli/environment@0.2.0" (instance))
                (import "other:thing/network@1.0.0" (instance))
                (core module (memory 3) (export "inner" (memory 0)))
                (component (import "deep" (func))))"#,
        );
        let contents = contents(&wasm.unwrap()).unwrap();
        assert!(contents.is_component && contents.refused.is_none());
        assert_eq!(contents.imports, ["wasi:cli/environment@0.2.0", "other:thing/network@1.0.0"]);
        assert_eq!((contents.memory_bytes, contents.modules), (3 * PAGE_BYTES, 1));
        assert!(contents.exports.is_empty());
        let allowed: Vec<bool> = contents.imports.iter().map(|name| is_allowed(name)).collect();
        assert_eq!(allowed, [true, false]);
    }

    #[test]
    fn a_module_without_a_component_type_is_told_apart() {
        let wasm = wat::parse_str(r#"(module (import "env" "now" (func)) (func (export "f")))"#);
        let contents = contents(&wasm.unwrap()).unwrap();
        assert!(!contents.is_component && contents.refused.is_some());
        assert_eq!(
            (contents.imports, contents.exports),
            (vec!["env now".to_owned()], vec!["f".to_owned()])
        );
    }
}
