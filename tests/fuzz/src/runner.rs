//! Starts workers, and finds out what became of those that ended in the middle of a case.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};

use crate::targets::Target;
use crate::{seeds, shrink, worker};

/// Starting a process for each try takes milliseconds.
const SHRINK_TRIES: usize = 100;

/// What is run.
pub struct Plan {
    pub targets: Vec<&'static Target>,
    pub seed: u64,
    pub cases: u64,
    /// This case alone.
    pub only: Option<u64>,
    /// For each target.
    pub seconds: Option<u64>,
    pub patience_s: u64,
}

struct Job {
    target: &'static Target,
    first: u64,
    step: u64,
}

/// Runs all cases, on all cores.
///
/// # Errors
/// One line for each promise that did not hold.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let slices = if plan.targets.len() < cores && plan.only.is_none() { cores as u64 } else { 1 };
    let first = plan.only.unwrap_or_default();
    let jobs: Vec<Job> = plan
        .targets
        .iter()
        .flat_map(|target| {
            (0..slices).map(move |slice| Job { target, first: first + slice, step: slices })
        })
        .collect();
    let (next, broken) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let folder = tempfile::tempdir()?;
    std::thread::scope(|scope| {
        for core in 0..cores.min(jobs.len()) {
            let (jobs, next, broken) = (&jobs, &next, &broken);
            let state = folder.path().join(core.to_string());
            scope.spawn(move || {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = job.run(plan, &state) {
                        println!("{error:#}");
                        broken
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner)
                            .push(job.target.name);
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap_or_default();
    if !broken.is_empty() {
        bail!("promises do not hold: {}", broken.join(", "));
    }
    Ok(())
}

fn this_program() -> anyhow::Result<Command> {
    Ok(Command::new(std::env::current_exe().context("the path of this program")?))
}

impl Job {
    fn run(&self, plan: &Plan, state: &Path) -> anyhow::Result<()> {
        let mut command = this_program()?;
        command.args(["worker", self.target.name]);
        for (name, value) in [
            ("--seed", plan.seed),
            ("--first", self.first),
            ("--step", self.step),
            ("--cases", plan.only.map_or(plan.cases, |only| only + 1)),
            ("--patience-s", plan.patience_s),
        ] {
            command.args([name, &value.to_string()]);
        }
        if let Some(seconds) = plan.seconds {
            command.args(["--seconds", &seconds.to_string()]);
        }
        command.arg("--state").arg(state).stdin(Stdio::null());
        let output = command.output().context("a worker")?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            let figures = String::from_utf8_lossy(&output.stdout);
            let (done, longest_us) = figures.trim().split_once(' ').unwrap_or_default();
            println!("{:14} {done} cases, the longest took {longest_us} us", self.target.name);
            return Ok(());
        }
        match output.status.code() {
            // The worker has kept the input and said what it is.
            Some(1) => bail!("{}", said.trim_end()),
            _ => self.died(plan, state, output.status, said.trim_end()),
        }
    }

    /// A worker ended in the middle of a case: its stack overflowed, it asked for too much memory, or the case did
    /// not end.
    fn died(
        &self,
        plan: &Plan,
        state: &Path,
        status: ExitStatus,
        said: &str,
    ) -> anyhow::Result<()> {
        let name = self.target.name;
        let number = std::fs::read(state)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_le_bytes);
        let number =
            number.with_context(|| format!("{name}: a worker ended with {status}: {said}"))?;
        let input = worker::input(self.target, plan.seed, number);
        let hangs = status.code() == Some(worker::EXIT_HANGS);
        // A case that takes that long would be tried for hours.
        let tries = if hangs { 0 } else { SHRINK_TRIES };
        let small = shrink::shrink(&input, tries, |input| {
            read_apart(self.target, input).is_ok_and(|other| other == status)
        });
        let file = seeds::keep(name, &small)?;
        bail!(
            "{name}: case {number} of seed {} ended the process with {status}: {said}\nits input, {} of {} bytes, is kept in {}",
            plan.seed,
            small.len(),
            input.len(),
            file.display()
        )
    }
}

/// Reads one input in a process of its own.
fn read_apart(target: &Target, input: &[u8]) -> anyhow::Result<ExitStatus> {
    let mut command = this_program()?;
    command
        .args(["read", target.name])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input)?;
    }
    Ok(child.wait()?)
}
