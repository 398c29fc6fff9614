//! What a call of a plugin costs: in a fresh instance, as the server makes it; in a reused one;
//! natively; and in Extism. Everything in one run, because only ratios tell anything.

#[path = "../../server/src/plugin/mod.rs"]
#[expect(dead_code, unused_imports, unreachable_pub, reason = "the server's module as it is")]
mod plugin;

mod clock;
#[cfg(feature = "extism")]
mod extism;
mod fresh;
mod guests;
mod reused;

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
    reused::run(&guests, data)?;
    fresh::run(&guests, data)?;
    #[cfg(feature = "extism")]
    extism::run(&guests, data)?;
    fresh::scaling(&guests, data)
}
