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

use clock::{Lines, calls};
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
    let host = plugin::Host::new(plugin::Limits::default())?;
    let mut lines = Lines::default();
    lines.add("filter, native", calls(|| Ok(bench_work::wanted(parsed(data)?.root()))));
    lines.add("transform, native", calls(|| Ok(bench_work::reshaped(parsed(data)?.root()))));
    lines.add("transform, native, with serde_json", calls(|| Ok(reshaped_by_serde(data)?)));
    for instances in [bare::Instances::Reused, bare::Instances::Fresh] {
        bare::add(&mut lines, &guests, data, instances)?;
    }
    fresh::add(&mut lines, &host, &guests, data)?;
    #[cfg(feature = "extism")]
    extism::add(&mut lines, &guests, data)?;
    lines.run()?;
    fresh::scaling(&guests, data)
}

fn parsed(data: &str) -> Result<antar_json::Document> {
    Ok(data.parse()?)
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
