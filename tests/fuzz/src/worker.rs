//! A process that runs cases of one target, and notes in a file which one it is at.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::targets::Target;
use crate::{case, seeds, shrink};

/// Exit code of a process whose case did not end.
pub const EXIT_HANGS: i32 = 3;
/// Kept inputs have numbers from the end downwards.
const KEPT: u64 = u64::MAX;
/// Threads of the server have this stack; a development build needs more of it for the same work.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 8 << 20 } else { 2 << 20 };
/// Readers of uploads have more: see `plugin/compile.rs`.
const UPLOAD_STACK_BYTES: usize = 16 << 20;
const SHRINK_TRIES: usize = 2_000;

/// Which cases a worker runs.
#[derive(Clone, Debug, clap::Args)]
pub struct Work {
    #[arg(long)]
    pub seed: u64,
    /// The first case
    #[arg(long)]
    pub first: u64,
    /// From one case to the next
    #[arg(long)]
    pub step: u64,
    /// Cases of all workers
    #[arg(long)]
    pub cases: u64,
    /// When no new case begins
    #[arg(long)]
    pub seconds: Option<u64>,
    /// How long a case may take
    #[arg(long)]
    pub patience_s: u64,
    /// Where the number of the case that runs is written
    #[arg(long)]
    pub state: PathBuf,
}

/// The input of a case of this seed, also of a kept one.
pub(crate) fn input(target: &Target, seed: u64, number: u64) -> Vec<u8> {
    let kept = seeds::of(target.name);
    match kept.get(usize::try_from(KEPT - number).unwrap_or(usize::MAX)) {
        Some(input) => input.clone(),
        None => case::input(target, &corpus(target, kept), seed, number),
    }
}

fn corpus(target: &Target, kept: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    [(target.corpus)(), kept].concat()
}

/// Runs the cases until the first one that breaks a promise, which is made smaller, kept and printed.
pub fn run(target: &'static Target, work: Work) -> ExitCode {
    case::note_panics();
    let progress = Arc::new(Progress::default());
    let watched = (Arc::clone(&progress), Duration::from_secs(work.patience_s));
    std::thread::spawn(move || watchdog(&watched.0, watched.1));
    let stack = if target.name == "plugins" { UPLOAD_STACK_BYTES } else { STACK_BYTES };
    let reading = std::thread::Builder::new()
        .stack_size(stack)
        .spawn(move || cases(target, &work, &progress));
    match reading.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        Ok(Ok(Err(error))) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
        _ => ExitCode::FAILURE,
    }
}

fn cases(target: &'static Target, work: &Work, progress: &Progress) -> anyhow::Result<()> {
    let state = File::create(&work.state)?;
    let kept = seeds::of(target.name);
    let own = if work.first == 0 { kept.len() as u64 } else { 0 };
    let corpus = corpus(target, kept.clone());
    let began = Instant::now();
    let in_time = || work.seconds.is_none_or(|seconds| began.elapsed().as_secs() < seconds);
    let numbers = (work.first..work.cases).step_by(usize::try_from(work.step)?);
    let (mut done, mut longest) = (0_u64, Duration::ZERO);
    for number in (0..own).map(|at| KEPT - at).chain(numbers.take_while(|_| in_time())) {
        let input = match kept.get(usize::try_from(KEPT - number)?) {
            Some(input) => input.clone(),
            None => case::input(target, &corpus, work.seed, number),
        };
        note(&state, number)?;
        progress.begin(number);
        let at = Instant::now();
        let outcome = case::run(target, &input);
        longest = longest.max(at.elapsed());
        progress.end();
        if let Err(broken) = outcome {
            let fails = |smaller: &[u8]| {
                case::run(target, smaller).is_err_and(|other| other.is_like(&broken))
            };
            let small = shrink::shrink(&input, SHRINK_TRIES, fails);
            let file = seeds::keep(target.name, &small)?;
            anyhow::bail!(
                "{}: case {number} of seed {} breaks a promise: {broken}\nits input, {} of {} bytes, is kept in {}",
                target.name,
                work.seed,
                small.len(),
                input.len(),
                file.display()
            );
        }
        done += 1;
    }
    println!("{done} {}", longest.as_micros());
    std::io::stdout().flush()?;
    Ok(())
}

/// Overwrites the number; the parent reads it if this process ends in the middle of a case.
fn note(mut state: &File, number: u64) -> std::io::Result<()> {
    use std::io::Seek as _;
    state.rewind()?;
    state.write_all(&number.to_le_bytes())
}

/// When the case began that runs now, in milliseconds since the process began; 0: none runs.
#[derive(Default)]
struct Progress {
    since_ms: AtomicU64,
    number: AtomicU64,
}

fn now_ms() -> u64 {
    static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
}

impl Progress {
    fn begin(&self, number: u64) {
        self.number.store(number, Ordering::Relaxed);
        self.since_ms.store(now_ms(), Ordering::Relaxed);
    }

    fn end(&self) {
        self.since_ms.store(0, Ordering::Relaxed);
    }
}

/// Ends the process when a case takes longer than is patience for.
fn watchdog(progress: &Progress, patience: Duration) {
    const EVERY: Duration = Duration::from_millis(200);
    loop {
        std::thread::sleep(EVERY);
        let since_ms = progress.since_ms.load(Ordering::Relaxed);
        let took = Duration::from_millis(now_ms().saturating_sub(since_ms));
        if since_ms != 0 && took > patience {
            eprintln!(
                "case {} runs for {} s",
                progress.number.load(Ordering::Relaxed),
                took.as_secs()
            );
            std::process::exit(EXIT_HANGS);
        }
    }
}

/// Reads one input, as a case would.
pub fn read(target: &'static Target, input: Vec<u8>) -> ExitCode {
    case::note_panics();
    let stack = if target.name == "plugins" { UPLOAD_STACK_BYTES } else { STACK_BYTES };
    let reading =
        std::thread::Builder::new().stack_size(stack).spawn(move || case::run(target, &input));
    match reading.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(allocated))) => {
            println!("every promise holds; {} bytes were in use at once", allocated.peak_bytes);
            ExitCode::SUCCESS
        }
        Ok(Ok(Err(broken))) => {
            eprintln!("{}: {broken}", target.name);
            ExitCode::FAILURE
        }
        _ => ExitCode::FAILURE,
    }
}
