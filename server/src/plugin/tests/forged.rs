//! Uploads that no compiler would produce. Each must be refused or held to its limits, and other
//! plugins must keep working.

use std::time::Duration;

use antar_test_guests::filter;

use super::{super::UploadError, *};

/// A number in LEB128, the encoding of WASM.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len()), content].concat()
}

/// The filter with one more section at its end.
fn with_section(id: u8, content: &[u8]) -> Vec<u8> {
    [filter(1, ""), section(id, content)].concat()
}

const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A module that exports one function a million times.
fn a_million_exports() -> Vec<u8> {
    let mut exports = leb(1_000_000);
    for number in 0..1_000_000 {
        let name = format!("{number:x}");
        exports.extend(leb(name.len()));
        exports.extend(name.bytes());
        exports.extend([0, 0]);
    }
    let types = section(1, &[1, 0x60, 0, 0]);
    let code = section(10, &[1, 2, 0, 0x0b]);
    [MODULE, &types, &section(3, &[1, 0]), &section(7, &exports), &code].concat()
}

fn nested(levels: usize) -> Vec<u8> {
    (0..levels).fold(COMPONENT.to_vec(), |inner, _| [COMPONENT, &section(4, &inner)].concat())
}

async fn upload(host: &Host, wasm: Vec<u8>) -> Result<Plugin, UploadError> {
    let nobody = Owner::default();
    let uploading = host.compile(wasm.into(), &nobody);
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, uploading).await.expect("the upload ends")
}

async fn still_works(host: &Host, plugin: &Plugin) {
    assert_eq!(host.call(plugin, call("{}", "{}")).await.result, Ok(Outcome::Pass));
}

#[tokio::test]
async fn what_asks_for_too_much_is_refused_at_upload() {
    let host = Host::new(Limits { describe_time_ms: 200, ..limits() }).unwrap();
    let good = upload(&host, filter(1, "")).await.unwrap();
    assert_eq!(good.pool(), Some(super::super::PoolName::Small));
    let start = |body: &str| format!("(func $start {body}) (start $start)");
    for (what, wasm, why) in [
        ("a huge table", filter(1, "(table 10000000 funcref)"), "table"),
        ("more tables than there are", filter(1, &"(table 1 funcref)".repeat(40)), "table"),
        ("a huge memory", filter(60_000, ""), "memory"),
        ("a loop at the start", filter(1, &start("(loop (br 0))")), "longer than 200 ms"),
        ("recursion at the start", filter(1, &start("(call $start)")), "stack"),
        (
            "memory at the start",
            filter(1, &start("(drop (memory.grow (i32.const 40000)))")),
            "more than 134217728 bytes of memory",
        ),
        (
            "much memory, little by little",
            filter(
                1,
                &start("(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))"),
            ),
            "more than 134217728 bytes of memory",
        ),
        ("a million exports at the top", with_section(11, &leb(1_000_000)), "can't be compiled"),
        ("a section that ends too early", with_section(1, &[0; 3]), "can't be compiled"),
        ("a section of no kind", with_section(99, &[1, 2, 3]), "can't be compiled"),
        (
            "a length beyond the end",
            [filter(1, ""), vec![1, 0xff, 0xff, 0xff, 0x7f]].concat(),
            "can't be compiled",
        ),
    ] {
        let refused = upload(&host, wasm).await;
        let error = refused.err().unwrap_or_else(|| panic!("{what} was taken")).to_string();
        assert!(error.contains(why), "{what}: {error}");
        still_works(&host, &good).await;
    }
}

#[tokio::test]
async fn what_is_large_or_deep_and_not_used_harms_nobody() {
    let host = Host::new(limits()).unwrap();
    let good = upload(&host, filter(1, "")).await.unwrap();
    // Accepted or refused, the upload must end.
    for unused in [with_section(1, &a_million_exports()), with_section(4, &nested(2_000))] {
        if let Ok(plugin) = upload(&host, unused).await {
            still_works(&host, &plugin).await;
        }
    }
    still_works(&host, &good).await;
}

#[tokio::test]
async fn a_plugin_whose_memory_begins_large_goes_to_the_large_pool() {
    let host = Host::new(limits()).unwrap();
    for (pages, pool) in [(64, "Small"), (200, "Large"), (1_000, "Large")] {
        let plugin = upload(&host, filter(pages, "")).await.unwrap();
        assert_eq!(format!("{:?}", plugin.pool().unwrap()), pool, "{pages} pages");
        still_works(&host, &plugin).await;
    }
}

#[tokio::test]
async fn the_operator_may_give_one_plugin_less_or_more() {
    let read = serde_json::from_str(
        r#"[{"plugin": "small", "memory_bytes_max": 1048576, "instances_max": 1},
            {"plugin": "big", "tenant": "acme", "memory_bytes_max": 33554432}]"#,
    );
    let host = Host::new(Limits { overrides: read.unwrap(), ..limits() }).unwrap();
    let of = |tenant: &str, plugin: &str| Owner { tenant: tenant.into(), plugin: plugin.into() };
    let wasm = || Bytes::from(filter(64, ""));
    let big = host.compile(wasm(), &of("acme", "big")).await.unwrap();
    assert_eq!(big.pool(), Some(super::super::PoolName::Large));
    still_works(&host, &big).await;
    let other = host.compile(wasm(), &of("other", "big")).await.unwrap();
    assert_eq!(other.pool(), Some(super::super::PoolName::Small));
    let small = host.share(&other, &of("acme", "small")).unwrap();
    let result = host.call(&small, call("{}", "{}")).await.result;
    assert_eq!(result, Err(CallError::TooMuchMemory { limit_bytes: 1 << 20 }));
    // Code linked in the small pool can't serve a plugin that needs the large one.
    assert!(host.share(&other, &of("acme", "big")).is_none());
}

/// SplitMix64: the same uploads in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) >> 1).unwrap() % end.max(1)
    }

    fn mutate(&mut self, wasm: &[u8]) -> Vec<u8> {
        let mut wasm = wasm.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(wasm.len());
            let value = u8::try_from(self.below(256)).unwrap();
            match self.below(4) {
                0 => wasm[at] = value,
                1 => wasm[at] ^= 1 << self.below(8),
                2 => wasm.insert(at, value),
                _ => drop(wasm.drain(at..(at + 1 + self.below(16)).min(wasm.len()))),
            }
        }
        wasm
    }
}

#[tokio::test]
async fn mutated_uploads_end_with_an_answer() {
    let host = Host::new(Limits { describe_time_ms: 50, call_time_ms: 50, ..limits() }).unwrap();
    let small = filter(1, "(table 4 funcref) (func $f (loop (br_if 0 (i32.const 0))))");
    let good = upload(&host, small.clone()).await.unwrap();
    let module = Guest::Wasi.wasm();
    let (mut random, mut taken) = (Random(1), 0);
    for number in 0..600 {
        let wasm = random.mutate(if number % 4 == 0 { &module } else { &small });
        match upload(&host, wasm).await {
            Ok(plugin) => {
                taken += 1;
                let _ = host.call(&plugin, call("{}", "{}")).await;
            }
            Err(UploadError::Internal(cause)) => panic!("mutation {number}: {cause}"),
            Err(_) => {}
        }
    }
    assert!(taken > 0, "all were refused: nothing was tried");
    let patient = Host::new(limits()).unwrap();
    let again = upload(&patient, small).await.unwrap();
    still_works(&patient, &again).await;
    assert_eq!(good.digest(), again.digest());
}
