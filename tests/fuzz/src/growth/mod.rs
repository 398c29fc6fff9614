//! How the work of a parser grows with its input: no more than a little faster than the input itself.
//!
//! Each [`Part`] is done for inputs of a sixteenth, a quarter, and the whole of a size near the largest that the
//! server takes. What is compared is counted, never timed: how often the regions of our own code ran (in a build of
//! `cargo xtask growth`), and how much was allocated, also by libraries.

mod configuration;
mod events;
mod rules;
mod templates;
mod texts;

use anyhow::bail;

use crate::allocations;
use crate::regions::{COUNTED, run_so_far};

/// Something that is done to an input of a size.
pub struct Part {
    pub name: &'static str,
    /// The largest size, in units of the part.
    pub size: usize,
    /// Makes the input; the returned function does what is measured.
    pub input: fn(usize) -> Box<dyn Fn()>,
}

/// Work for 16 times the input may be at most so many times as much. With the logarithm's share it is 22; memory
/// that doubles when it is full may add as much again. A square root more would be 64, a square 256.
const RATIO_MAX: f64 = 45.0;
/// The same for the last step, of 4 times the input: what is small at first must not hide what grows.
const LAST_RATIO_MAX: f64 = 8.5;
/// Less work than this says nothing.
const FLOOR: u64 = 5_000;

fn parts() -> impl Iterator<Item = &'static Part> {
    let all: [&[Part]; 5] =
        [texts::PARTS, events::PARTS, rules::PARTS, templates::PARTS, configuration::PARTS];
    all.into_iter().flatten()
}

/// What one run cost.
#[derive(Clone, Copy)]
struct Work {
    regions: u64,
    bytes: u64,
    allocations: u64,
}

impl Work {
    fn of(input: &dyn Fn()) -> Work {
        let before = run_so_far();
        allocations::begin(usize::MAX);
        input();
        let allocated = allocations::end();
        let regions = run_so_far().wrapping_sub(before);
        Work { regions, bytes: allocated.total_bytes, allocations: allocated.count }
    }

    /// How many times as much as `smaller`, for each figure.
    fn ratios(self, smaller: Work) -> [f64; 3] {
        let figures = |work: Work| [work.regions, work.bytes, work.allocations];
        let (larger, smaller) = (figures(self), figures(smaller));
        #[expect(clippy::cast_precision_loss, reason = "figures to compare roughly")]
        let ratio = |at: usize| larger[at].max(FLOOR) as f64 / smaller[at].max(FLOOR) as f64;
        [ratio(0), ratio(1), ratio(2)]
    }
}

/// Measures all parts whose name contains `only`.
///
/// # Errors
/// Names the parts whose work grows too fast.
pub fn run(only: &str) -> anyhow::Result<()> {
    if !COUNTED {
        println!(
            "this build counts allocations only; `cargo xtask growth` counts what our own code does, too"
        );
    }
    println!(
        "{:58} {:>9} {:>13} {:>10}  4 times the input: regions, bytes, allocations",
        "", "size", "regions", "KiB"
    );
    let (mut found, mut count) = (Vec::new(), 0);
    for part in parts().filter(|part| part.name.contains(only)) {
        count += 1;
        if let Err(ratio) = measure(part) {
            found.push(format!("{} ({ratio:.1} times the work for 16 times the input)", part.name));
        }
    }
    if count == 0 {
        bail!("no part has `{only}` in its name");
    }
    if !found.is_empty() {
        bail!("work grows faster than the input:\n  {}", found.join("\n  "));
    }
    println!("{count} parts: no work grows faster than its input");
    Ok(())
}

fn measure(part: &Part) -> Result<(), f64> {
    // Whatever is made once is made here.
    (part.input)(part.size / 16)();
    let works = [16, 4, 1].map(|share| Work::of(&*(part.input)(part.size / share)));
    let (first, second) = (works[1].ratios(works[0]), works[2].ratios(works[1]));
    let whole = works[2].ratios(works[0]);
    let shown = |ratios: [f64; 3]| ratios.map(|ratio| format!("{ratio:.1}")).join(" ");
    println!(
        "{:58} {:>9} {:>13} {:>10}  {}, {}",
        part.name,
        part.size,
        works[2].regions,
        works[2].bytes >> 10,
        shown(first),
        shown(second)
    );
    let worst = |ratios: [f64; 3]| ratios.into_iter().fold(0.0, f64::max);
    if worst(whole) > RATIO_MAX || worst(second) > LAST_RATIO_MAX {
        Err(worst(whole))
    } else {
        Ok(())
    }
}

/// `count` pieces, each made from its number, with `joint` between them.
fn repeated(count: usize, joint: &str, piece: impl Fn(usize) -> String) -> String {
    (0..count).map(piece).collect::<Vec<_>>().join(joint)
}
