//! What a call of a plugin costs: in a fresh instance, as the server makes it; in a reused one;
//! natively; and in Extism. Everything in one run, because only ratios tell anything.

#[path = "../../server/src/plugin/mod.rs"]
#[expect(dead_code, unused_imports, unreachable_pub, reason = "the server's module as it is")]
mod plugin;

mod bare;
mod clock;
#[cfg(feature = "extism")]
mod extism;
mod fresh;
mod guests;

use anyhow::Result;

use clock::{heading, line, sample};
use guests::Guests;

/// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// About 1 KiB, as a chat product posts it.
const DATA: &str = include_str!("event.json");

fn main() -> Result<()> {
    let guests = Guests::build()?;
    let data = DATA.trim();
    println!("{} bytes of data; microseconds for one call\n", data.len());
    heading();
    for (name, work) in [("filter", 0), ("transform", 1)] {
        let took = sample(20_000, || {
            let document: antar_json::Document = data.parse()?;
            match work {
                0 => drop(std::hint::black_box(bench_work::wanted(document.root()))),
                _ => drop(std::hint::black_box(bench_work::reshaped(document.root()))),
            }
            Ok(())
        })?;
        line(&format!("{name}, native"), &took);
    }
    let took = sample(20_000, || {
        std::hint::black_box(reshaped_by_serde(data)?);
        Ok(())
    })?;
    line("transform, native, with serde_json", &took);
    bare::run(&guests, data, bare::Instances::Reused)?;
    bare::run(&guests, data, bare::Instances::Fresh)?;
    fresh::run(&guests, data)?;
    #[cfg(feature = "extism")]
    extism::run(&guests, data)?;
    fresh::scaling(&guests, data)
}

/// The transform as most would write it.
fn reshaped_by_serde(data: &str) -> serde_json::Result<String> {
    let mut data: serde_json::Map<String, serde_json::Value> = serde_json::from_str(data)?;
    for (name, other) in [("conversation", "chat"), ("contact", "person")] {
        if let Some(value) = data.remove(name) {
            data.insert(other.to_owned(), value);
        }
    }
    data.insert("source".to_owned(), "bench".into());
    serde_json::to_string(&data)
}
