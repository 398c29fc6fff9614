//! Runs other programs, with a time limit where they may take long.

use std::{
    io::Read,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(50);

/// The standard output of `program`, without trailing whitespace. None if it fails or is missing.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}

/// Runs a command to its end, or kills it after `limit`. Fails with the last line of its stderr.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("{name}: {e}"))?;
    let complaints = child.stderr.take().map(|mut stderr| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read before an error is still worth showing.
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    });
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait().map_err(|e| format!("{name}: {e}"))? {
            Some(status) => break status,
            None if Instant::now() < deadline => thread::sleep(POLL),
            None => {
                // It may have ended in between; then there is nothing to kill.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{name} took longer than {} s", limit.as_secs()));
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    let text = complaints.and_then(|thread| thread.join().ok()).unwrap_or_default();
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    Err(line.map_or_else(|| format!("{name}: {status}"), |line| format!("{name}: {line}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_killed_and_named() {
        let started = Instant::now();
        let ran = run(Command::new("sleep").arg("60"), Duration::from_millis(100));
        assert_eq!(ran, Err("sleep took longer than 0 s".into()));
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn the_last_complaint_is_the_reason() {
        let script = "echo first >&2; echo 'no network' >&2; echo >&2; exit 3";
        let ran = run(Command::new("sh").args(["-c", script]), Duration::from_secs(30));
        assert_eq!(ran, Err("sh: no network".into()));
        let missing = run(&mut Command::new("no-such-program"), Duration::from_secs(1));
        assert!(missing.is_err_and(|e| e.starts_with("no-such-program: ")));
    }
}
