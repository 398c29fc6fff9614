//! A transform that misbehaves as its config says, for tests: `{"mode": "loop"}`. Some modes have
//! a `"count"`. It uses neither the SDK nor its allocator, as plugins of other people may.

#![cfg(target_arch = "wasm32")]
#![expect(unsafe_code, reason = "it is hostile, and the exports are made by wit-bindgen")]

use std::{cell::Cell, hint::black_box};

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "transform-plugin" });

use antar::plugin::{log, types::Replacement};
use exports::antar::plugin::transform::{About, Event, Guest, Outcome, Problem};

struct Hostile;

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

impl Guest for Hostile {
    fn describe() -> About {
        About { description: "Misbehaves.".into(), config_schema: String::new() }
    }

    fn run(event: Event, config: String) -> Result<Outcome, Problem> {
        let count = number(&config);
        Ok(match mode(&config) {
            "loop" => loop {
                black_box(count);
            },
            "memory" => eat(),
            "trap" => core::arch::wasm32::unreachable(),
            "out_of_bounds" => {
                // SAFETY: none; the sandbox has to stop it.
                let byte = unsafe { (0xffff_0000 as *const u8).read_volatile() };
                data(format!("{{\"byte\":{byte}}}"))
            }
            "recursion" => data(format!("{{\"sum\":{}}}", descend(u64::MAX))),
            "text" => data("Hello".into()),
            "array" => data("[1]".into()),
            "deep" => data(format!("{{\"a\":{}{}}}", "[".repeat(count), "]".repeat(count))),
            "big" => data(format!("{{\"a\":\"{}\"}}", "x".repeat(count))),
            "alias" => aliases(count),
            "logs" => {
                for line in 0..count {
                    log::write(log::Level::Info, &format!("line {line}"));
                }
                Outcome::Unchanged
            }
            "long_log" => {
                log::write(log::Level::Error, &"é".repeat(count));
                Outcome::Unchanged
            }
            "bad_log" => {
                // SAFETY: none; the host has to look.
                let text = unsafe { std::str::from_utf8_unchecked(black_box(b"no text: \xff")) };
                log::write(log::Level::Info, text);
                Outcome::Unchanged
            }
            "stain" => data(format!("{{\"seen\":{}}}", stain(count))),
            "state" => {
                CALLS.set(CALLS.get() + 1);
                data(format!("{{\"calls\":{}}}", CALLS.get()))
            }
            "echo" => data(echo(&event, &config)),
            "split" => Outcome::Split((0..count).map(|n| part(format!("{{\"n\":{n}}}"))).collect()),
            "type" => Outcome::Replace(Replacement {
                event_type: Some(field(&config, "name").into()),
                attributes: vec![("seen".into(), "yes".into())],
                ..part(event.data)
            }),
            "header" => Outcome::Replace(Replacement {
                headers: vec![(field(&config, "name").into(), field(&config, "value").into())],
                ..part(event.data)
            }),
            "drop" => Outcome::Drop("x".repeat(count)),
            "retry" => return Err(Problem::Retry("later".into())),
            "fail" => return Err(Problem::Fail("never".into())),
            _ => Outcome::Unchanged,
        })
    }
}

/// The text of a field of the config. Enough for configs that tests write.
fn field<'a>(config: &'a str, name: &str) -> &'a str {
    let Some((_, rest)) = config.split_once(&format!("\"{name}\":\"")) else { return "" };
    rest.split('"').next().unwrap_or_default()
}

fn mode(config: &str) -> &str {
    field(config, "mode")
}

fn number(config: &str) -> usize {
    let Some((_, rest)) = config.split_once("\"count\":") else { return 0 };
    rest.trim_end_matches('}').parse().unwrap_or_default()
}

fn part(data: String) -> Replacement {
    Replacement { data, event_type: None, attributes: vec![], headers: vec![] }
}

fn data(data: String) -> Outcome {
    Outcome::Replace(part(data))
}

fn eat() -> Outcome {
    let mut blocks = Vec::new();
    loop {
        blocks.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Asks for pages, and fills them and the unused end of the stack. Returns how many bytes had
/// something in them before.
fn stain(pages: usize) -> usize {
    const PAGE_BYTES: usize = 64 << 10;
    let grown = core::arch::wasm32::memory_grow(0, pages) * PAGE_BYTES;
    [(16, 16 << 10), (grown, pages * PAGE_BYTES)]
        .map(|(start, len)| {
            // SAFETY: nobody has been given the pages yet, and the stack does not reach down there.
            let bytes = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, len) };
            let seen = bytes.iter().filter(|byte| **byte != 0).count();
            bytes.fill(0xaa);
            seen
        })
        .iter()
        .sum()
}

fn descend(left: u64) -> u64 {
    let frame = black_box([left; 16]);
    if left == 0 { 0 } else { black_box(descend(left - 1)) + frame[3] }
}

/// Attributes that are all the same megabyte of memory, so that a list of them is longer than the
/// memory that it is read from.
fn aliases(count: usize) -> Outcome {
    let text = "x".repeat(1 << 20);
    // SAFETY: none: every copy believes that it owns the memory.
    let alias = || unsafe { String::from_raw_parts(text.as_ptr().cast_mut(), 1 << 20, 1 << 20) };
    let attributes = (0..count).map(|_| (String::new(), alias())).collect();
    std::mem::forget(text.clone());
    let outcome = Outcome::Replace(Replacement { attributes, ..part("{}".into()) });
    std::mem::forget(text);
    outcome
}

fn echo(event: &Event, config: &str) -> String {
    let attributes: Vec<String> =
        event.attributes.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
    format!(
        "{{\"id\":\"{}\",\"type\":\"{}\",\"tenant\":\"{}\",\"timestamp\":\"{}\",\"attributes\":{{{}}},\
         \"data\":{},\"config\":{config}}}",
        event.id,
        event.event_type,
        event.tenant,
        event.timestamp,
        attributes.join(","),
        event.data
    )
}

export!(Hostile);
