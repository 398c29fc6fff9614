//! Fuzzes the template engine: checks any number of random templates over random events.
//!
//! `cargo xtask fuzz templates`, or `cargo run --release -p antar-template --example fuzz -- --help`.

#[path = "../tests/cases/mod.rs"]
mod cases;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use cases::Outcome;

const USAGE: &str = "\
fuzz [--cases N] [--seed N] [--only N]
  --cases N   how many to run (10000000)
  --seed N    which ones; the same seed gives the same cases (the clock's nanoseconds)
  --only N    run case N of the seed and nothing else";

struct Arguments {
    cases: u64,
    seed: u64,
    only: Option<u64>,
}

fn arguments() -> Option<Arguments> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    let seed = u64::from(now.subsec_nanos());
    let mut arguments = Arguments { cases: 10_000_000, seed, only: None };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let number = given.next()?.replace('_', "").parse().ok()?;
        match name.as_str() {
            "--cases" => arguments.cases = number,
            "--seed" => arguments.seed = number,
            "--only" => arguments.only = Some(number),
            _ => return None,
        }
    }
    Some(arguments)
}

#[derive(Default)]
struct Counts {
    next: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
    meant: AtomicU64,
    stop: AtomicBool,
}

fn main() -> ExitCode {
    let Some(Arguments { cases, seed, only }) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    if let Some(number) = only {
        return match cases::run(seed, number) {
            Ok(outcome) => {
                println!("case {number} of seed {seed}: {outcome:?}");
                ExitCode::SUCCESS
            }
            Err(broken) => report(seed, number, &broken),
        };
    }
    println!("{cases} cases of seed {seed}");
    let counts = Counts::default();
    let began = Instant::now();
    let broken = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let work = || work(&counts, seed, cases);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        progress(&counts, cases, began);
        workers
            .into_iter()
            .filter_map(|worker| worker.join().ok().flatten())
            .min_by_key(|found| found.0)
    });
    if let Some((number, broken)) = broken {
        return report(seed, number, &broken);
    }
    println!("{}", line(&counts, cases, began));
    println!("every promise held; --seed {seed} repeats it");
    ExitCode::SUCCESS
}

fn report(seed: u64, number: u64, broken: &cases::Broken) -> ExitCode {
    println!("case {number} of seed {seed} breaks a promise: {broken}");
    println!("\nto repeat it: cargo xtask fuzz templates --seed {seed} --only {number}");
    ExitCode::FAILURE
}

fn work(counts: &Counts, seed: u64, cases: u64) -> Option<(u64, cases::Broken)> {
    const BATCH: u64 = 256;
    while !counts.stop.load(Relaxed) {
        let from = counts.next.fetch_add(BATCH, Relaxed);
        if from >= cases {
            break;
        }
        for number in from..(from + BATCH).min(cases) {
            match cases::run(seed, number) {
                Ok(Outcome::Refused) => counts.refused.fetch_add(1, Relaxed),
                Ok(Outcome::Meant) => counts.meant.fetch_add(1, Relaxed),
                Ok(Outcome::Parsed) => 0,
                Err(broken) => {
                    counts.stop.store(true, Relaxed);
                    return Some((number, broken));
                }
            };
            counts.done.fetch_add(1, Relaxed);
        }
    }
    None
}

/// Shows progress until all cases are done: one line that updates itself on a terminal, elsewhere a line
/// every ten seconds.
fn progress(counts: &Counts, cases: u64, began: Instant) {
    let terminal = std::io::stdout().is_terminal();
    let pause = if terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
    let mut shown = Instant::now();
    while counts.done.load(Relaxed) < cases && !counts.stop.load(Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
        if shown.elapsed() < pause {
            continue;
        }
        shown = Instant::now();
        match terminal {
            true => print!("\r\x1b[2K{}", line(counts, cases, began)),
            false => println!("{}", line(counts, cases, began)),
        }
        let _ = std::io::stdout().flush();
    }
    if terminal {
        print!("\r\x1b[2K");
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures to look at")]
fn line(counts: &Counts, cases: u64, began: Instant) -> String {
    let done = counts.done.load(Relaxed);
    let (refused, meant) = (counts.refused.load(Relaxed), counts.meant.load(Relaxed));
    let seconds = began.elapsed().as_secs_f64();
    let rate = done as f64 / seconds.max(0.001);
    let left = cases.saturating_sub(done) as f64 / rate.max(0.001);
    format!(
        "{done} of {cases} done ({refused} refused, {meant} compared with the model), {rate:.0} cases/s, {seconds:.0} s, {left:.0} s left"
    )
}
