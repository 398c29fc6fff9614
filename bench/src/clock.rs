//! Taking time on a machine whose speed changes: all lines in turn, a little of each, many times.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Makes so many calls; nanoseconds of each.
type Round<'a> = Box<dyn FnMut(usize) -> Result<Vec<u64>> + 'a>;

/// What is compared.
#[derive(Default)]
pub(crate) struct Lines<'a>(Vec<Line<'a>>);

struct Line<'a> {
    name: String,
    round: Round<'a>,
    /// Of each round, sorted.
    took: Vec<Vec<u64>>,
}

impl<'a> Lines<'a> {
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        round: impl FnMut(usize) -> Result<Vec<u64>> + 'a,
    ) {
        let (name, round) = (name.into(), Box::new(round));
        self.0.push(Line { name, round, took: Vec::new() });
    }

    /// Takes the time of all of them, and prints it.
    pub(crate) fn run(mut self) -> Result<()> {
        const ROUNDS: usize = 40;
        const CALLS: usize = 500;
        for _ in 0..ROUNDS {
            for line in &mut self.0 {
                // What ran before has its things in the caches.
                (line.round)(CALLS / 10)?;
                let mut took = (line.round)(CALLS)?;
                took.sort_unstable();
                line.took.push(took);
            }
        }
        println!("{:<44} {:>8} {:>8} {:>8}", "", "quietest", "p50", "p99");
        for Line { name, took, .. } in self.0 {
            let quietest = took.iter().map(|round| at(round, 0.5)).fold(f64::MAX, f64::min);
            let mut all = took.concat();
            all.sort_unstable();
            println!("{name:<44} {quietest:>8.2} {:>8.2} {:>8.2}", at(&all, 0.5), at(&all, 0.99));
        }
        Ok(())
    }
}

/// In microseconds.
fn at(sorted: &[u64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len() - 1)).map_or(f64::NAN, |ns| *ns as f64 / 1e3)
}

pub(crate) fn ns(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

/// A round of calls that need nothing around them.
pub(crate) fn calls<T>(
    mut call: impl FnMut() -> Result<T>,
) -> impl FnMut(usize) -> Result<Vec<u64>> {
    move |count| {
        let timed = |_| {
            let started = Instant::now();
            drop(black_box(call()?));
            Ok(ns(started.elapsed()))
        };
        (0..count).map(timed).collect()
    }
}
