use super::{Part, repeated};
use crate::grow::wasm;

pub(super) const PARTS: &[Part] = &[
    Part {
        name: "manifests: many documents",
        size: 2_000,
        input: |size| manifest(repeated(size, "---\n", |n| format!("kind: tenant\nname: t{n}\n"))),
    },
    Part {
        name: "manifests: many documents of one name",
        size: 1_000,
        input: |size| manifest(repeated(size, "---\n", |_| "kind: tenant\nname: t\n".to_owned())),
    },
    Part {
        name: "manifests: many members",
        size: 10_000,
        input: |size| {
            manifest(format!(
                "kind: source\nname: s\nevent_type: a.b\nattributes:\n{}",
                repeated(size, "", |n| format!("  a{n}: b\n"))
            ))
        },
    },
    Part {
        name: "manifests: a long text",
        size: 400_000,
        input: |size| {
            manifest(format!(
                "kind: webhook\nname: w\nurl: x\nevent_types: ['*']\nbody: |\n{}",
                "  a line\n".repeat(size / 9)
            ))
        },
    },
    Part {
        name: "plugins: a module of many functions",
        size: 20_000,
        input: |size| module("(func (drop (memory.grow (i32.const 1))))", size),
    },
    Part {
        name: "plugins: a module of many types",
        size: 10_000,
        input: |size| module("(type (func (param i32 i64 f32)))", size),
    },
    Part {
        name: "plugins: a module of many data segments",
        size: 10_000,
        input: |size| module("(data (i32.const 0) \"x\")", size),
    },
    Part {
        name: "plugins: a module of many exports",
        size: 10_000,
        input: |size| {
            let exports = repeated(size, " ", |n| format!("(export \"e{n}\" (func $f))"));
            upload(format!("(module (memory 2) (func $f) {exports})"))
        },
    },
    Part {
        name: "plugins: a component of many names",
        size: 990,
        input: |size| {
            let imports = repeated(size, " ", |n| format!("(import \"n{n}\" (func))"));
            upload(format!("(component {imports})"))
        },
    },
    Part {
        name: "plugins: a component of many modules",
        size: 1_000,
        input: |size| upload(format!("(component {})", "(core module (memory 1))".repeat(size))),
    },
    Part {
        name: "plugins: a whole filter, with many more sections",
        size: 20_000,
        input: sections,
    },
];

fn manifest(text: String) -> Box<dyn Fn()> {
    Box::new(move || drop(antar::cli::check_manifest(&text)))
}

fn module(part: &str, size: usize) -> Box<dyn Fn()> {
    upload(format!("(module (memory 2) {})", part.repeat(size)))
}

fn upload(text: String) -> Box<dyn Fn()> {
    let wasm = wat::parse_str(text).unwrap_or_default();
    assert!(!wasm.is_empty());
    Box::new(move || drop(antar::plugin::inspect(&wasm)))
}

/// Sections that mean nothing, behind a plugin.
fn sections(size: usize) -> Box<dyn Fn()> {
    let mut wasm = wasm::component();
    (0..size).for_each(|_| wasm.extend([0, 2, 1, b'x']));
    Box::new(move || assert!(antar::plugin::inspect(&wasm).is_ok()))
}
