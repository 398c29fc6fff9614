//! WebAssembly: plugins as compilers make them, and sections as they would not.

use crate::dice::Dice;

const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// The interface of plugins.
const WIT: &str = include_str!("../../../../sdk/wit/plugin.wit");

/// A filter as a component.
#[must_use]
pub fn component() -> Vec<u8> {
    wat::parse_str(include_str!("filter.wat")).unwrap_or_default()
}

/// A filter as a module without its component type.
#[must_use]
pub fn bare_module() -> Vec<u8> {
    wat::parse_str(include_str!("module.wat")).unwrap_or_default()
}

/// A filter as a module with its component type, as an upload from the SDK is.
#[must_use]
pub fn module() -> Vec<u8> {
    let mut wasm = bare_module();
    let mut resolve = wit_parser::Resolve::default();
    let world = resolve
        .push_source("plugin.wit", WIT)
        .and_then(|package| resolve.select_world(&[package], Some("filter-plugin")));
    if let Ok(world) = world {
        let encoding = wit_component::StringEncoding::UTF8;
        // Without its type it is still a module.
        let _ = wit_component::embed_component_metadata(&mut wasm, &resolve, world, encoding);
    }
    wasm
}

/// A number in LEB128; now and then it is longer than it has to be, or claims more than there is.
fn leb(dice: &mut Dice, number: usize) -> Vec<u8> {
    let claimed = match dice.below(40) {
        0 => u64::from(u32::MAX),
        1 => number as u64 + dice.below(1_000) as u64,
        _ => number as u64,
    };
    let (mut rest, mut bytes) = (claimed, Vec::new());
    loop {
        let low = (rest & 0x7f).to_le_bytes()[0];
        rest >>= 7;
        if rest == 0 && !dice.one_in(200) {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
        if bytes.len() > 12 {
            return bytes;
        }
    }
}

fn section(dice: &mut Dice, id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(dice, content.len()), content].concat()
}

fn name(dice: &mut Dice) -> Vec<u8> {
    let text = match dice.below(4) {
        0 => format!("n{}", dice.below(10_000)),
        _ => dice
            .pick(&[
                "antar:plugin/filter@1.0.0",
                "antar:plugin/log@1.0.0",
                "wasi:cli/run@0.2.0",
                "memory",
                "cabi_realloc",
                "",
                "\u{e9}",
            ])
            .to_owned(),
    };
    [leb(dice, text.len()), text.into_bytes()].concat()
}

/// A list: its count, then its entries.
fn list(dice: &mut Dice, entry: impl Fn(&mut Dice) -> Vec<u8>) -> Vec<u8> {
    let count = dice.count(2_000);
    let mut bytes = leb(dice, count);
    for _ in 0..count {
        bytes.extend(entry(dice));
    }
    bytes
}

fn random(dice: &mut Dice) -> Vec<u8> {
    (0..dice.count(200)).map(|_| dice.byte()).collect()
}

/// Sections that are well formed by themselves, in any order.
pub fn sections(dice: &mut Dice) -> Vec<u8> {
    let is_module = dice.one_in(2);
    let mut wasm = if is_module { MODULE.to_vec() } else { COMPONENT.to_vec() };
    for _ in 0..dice.count(12) {
        let (id, content) = if is_module { of_module(dice) } else { of_component(dice) };
        wasm.extend(section(dice, id, &content));
        if wasm.len() > crate::mutate::BYTES_MAX {
            break;
        }
    }
    wasm
}

fn of_module(dice: &mut Dice) -> (u8, Vec<u8>) {
    match dice.below(9) {
        0 => (
            1,
            list(dice, |dice| {
                [&[0x60][..], &list(dice, value_type), &list(dice, value_type)].concat()
            }),
        ),
        1 => (2, list(dice, |dice| [name(dice), name(dice), vec![0], leb(dice, 0)].concat())),
        2 => (
            3,
            list(dice, |dice| {
                let index = dice.below(4);
                leb(dice, index)
            }),
        ),
        3 => (
            5,
            list(dice, |dice| {
                let pages = dice.below(100_000);
                [vec![0], leb(dice, pages)].concat()
            }),
        ),
        4 => (7, list(dice, |dice| [name(dice), vec![0], leb(dice, 0)].concat())),
        5 => (
            10,
            list(dice, |dice| {
                let body = [vec![0], random(dice), vec![0x0b]].concat();
                [leb(dice, body.len()), body].concat()
            }),
        ),
        6 => (0, [name(dice), random(dice)].concat()),
        7 => {
            let kind = b"component-type:filter-plugin";
            (0, [&leb(dice, kind.len())[..], kind, &random(dice)].concat())
        }
        _ => (dice.byte(), random(dice)),
    }
}

fn value_type(dice: &mut Dice) -> Vec<u8> {
    vec![*dice.pick_of(&[0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f, 0x40])]
}

fn of_component(dice: &mut Dice) -> (u8, Vec<u8>) {
    match dice.below(8) {
        0 => (1, if dice.one_in(3) { bare_module() } else { [MODULE, &random(dice)].concat() }),
        1 => {
            let levels = dice.count(120);
            let inner = (0..levels).fold(COMPONENT.to_vec(), |inner, _| {
                [COMPONENT, &[4], &leb(dice, inner.len()), &inner].concat()
            });
            (4, inner)
        }
        2 => (
            7,
            list(dice, |dice| {
                [vec![0x72], list(dice, |dice| [name(dice), vec![0x73]].concat())].concat()
            }),
        ),
        3 => (10, list(dice, |dice| [vec![0], name(dice), vec![1, 0]].concat())),
        4 => (11, list(dice, |dice| [vec![0], name(dice), vec![5, 0, 0]].concat())),
        5 => (0, [name(dice), random(dice)].concat()),
        6 => (7, list(dice, |dice| vec![*dice.pick_of(&[0x70, 0x6f, 0x6b]), dice.byte()])),
        _ => (dice.byte(), random(dice)),
    }
}

/// A filter whose `run` never ends.
#[must_use]
pub fn endless() -> Vec<u8> {
    const RUN: &str = "(result i32) (i32.const 16))\n        (func $more";
    let text = include_str!("filter.wat")
        .replace(RUN, "(result i32) (loop (br 0)) (i32.const 16))\n        (func $more");
    wat::parse_str(text).unwrap_or_default()
}

/// A plugin with a few bytes changed.
pub fn damaged(dice: &mut Dice) -> Vec<u8> {
    let wasm = if dice.one_in(2) { component() } else { module() };
    crate::mutate::mutate(dice, &wasm, &[])
}
