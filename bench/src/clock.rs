//! Taking time.

use std::time::{Duration, Instant};

use anyhow::Result;

/// What calls took, sorted, in nanoseconds.
pub(crate) struct Sample(Vec<u64>);

impl Sample {
    pub(crate) fn new(mut took: Vec<u64>) -> Sample {
        took.sort_unstable();
        Sample(took)
    }

    /// In microseconds.
    fn at(&self, share: f64) -> f64 {
        let place = (self.0.len() as f64 * share) as usize;
        self.0[place.min(self.0.len() - 1)] as f64 / 1e3
    }
}

pub(crate) fn ns(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

/// Calls `call` a number of times, after some that don't count.
pub(crate) fn sample(calls: usize, mut call: impl FnMut() -> Result<()>) -> Result<Sample> {
    for _ in 0..calls / 10 {
        call()?;
    }
    let mut took = Vec::with_capacity(calls);
    for _ in 0..calls {
        let started = Instant::now();
        call()?;
        took.push(ns(started.elapsed()));
    }
    Ok(Sample::new(took))
}

pub(crate) fn heading() {
    println!("{:<44} {:>8} {:>8} {:>8}", "", "p50", "p90", "p99");
}

pub(crate) fn line(what: &str, took: &Sample) {
    println!("{what:<44} {:>8.2} {:>8.2} {:>8.2}", took.at(0.5), took.at(0.9), took.at(0.99));
}
