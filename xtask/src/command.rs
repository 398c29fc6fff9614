//! Running other programs.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

/// `cargo` in `folder`. It is the cargo that started this program, so that a toolchain chosen with
/// `cargo +NAME` stays chosen.
pub(crate) fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs a command with its output shown; any exit code but 0 is an error.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("can't start {}", spelled(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", spelled(command));
    }
    Ok(())
}

/// Runs a command and returns its standard output; any exit code but 0 is an error with its
/// standard error.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("can't start {}", spelled(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}\n{}", spelled(command), output.status, said.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a command starts and ends with exit code 0; its output is not shown.
pub(crate) fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a command, prints its output line by line, and passes each line to `see`. Returns true for
/// exit code 0.
pub(crate) fn run_streaming(command: &mut Command, mut see: impl FnMut(&str)) -> Result<bool> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("can't start {}", spelled(command)))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            writeln!(std::io::stdout(), "{line}")?;
            see(&line);
        }
    }
    Ok(child.wait()?.success())
}

/// The full path of a program in `PATH`.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The target folder of `cargo` for the repository at `root`.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into)
}

/// Packages that are compiled together, so that every dependency is compiled once, with the
/// features that all of them need.
pub(crate) struct Packages {
    pub(crate) names: &'static [&'static str],
    profile: &'static str,
    /// Below the target folder.
    pub(crate) folder: &'static str,
}

/// The tests and what they need, in a development build.
pub(crate) const TESTED: Packages = Packages {
    names: &["--workspace", "--exclude", "antar-tidy"],
    profile: "dev",
    folder: "debug",
};
/// The server as it is shipped, and its benchmark.
pub(crate) const SHIPPED: Packages = Packages {
    names: &["-p", "antar", "-p", "antar-delivery-bench"],
    profile: "release",
    folder: "release",
};
/// Programs that run for long inside one process.
pub(crate) const SIMULATED: Packages = Packages {
    names: &["-p", "antar-harness", "-p", "antar-fuzz"],
    profile: "long",
    folder: "long",
};

/// Compiles programs (`words`: `--bin NAME`, `--example NAME`, …) of these packages, and returns
/// their folder.
pub(crate) fn build(root: &Path, packages: &Packages, words: &[&str]) -> Result<PathBuf> {
    let mut command = cargo(root);
    command.args(["build", "--locked", "--profile", packages.profile]);
    command.args(packages.names).args(words);
    must(&mut command)?;
    Ok(std::path::absolute(target(root).join(packages.folder))?)
}

/// A different seed each time.
pub(crate) fn any_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos())
}

/// The command as a person would type it.
pub(crate) fn spelled(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program()).to_string_lossy();
    let words = command.get_args().map(|word| word.to_string_lossy());
    let text: Vec<_> = std::iter::once(name).chain(words).collect();
    format!("`{}`", text.join(" "))
}

/// Runs `apt-get install` where that works without a prompt: as root, or with passwordless sudo.
/// False where it does not; an error if apt-get fails.
pub(crate) fn apt_install(packages: &[&str], say: &mut dyn FnMut(&str)) -> Result<bool> {
    let Some(apt) = in_path("apt-get") else { return Ok(false) };
    let root = read(Command::new("id").arg("-u"))?.trim() == "0";
    if !root && !works(Command::new("sudo").args(["-n", "true"])) {
        return Ok(false);
    }
    let run = |words: &[&str]| {
        let mut command = if root { Command::new(&apt) } else { Command::new("sudo") };
        if !root {
            command.arg("-n").arg("env").arg("DEBIAN_FRONTEND=noninteractive").arg(&apt);
        }
        command.env("DEBIAN_FRONTEND", "noninteractive").args(words).stdin(Stdio::null());
        read(&mut command).map(drop)
    };
    say(&format!("apt-get install {}", packages.join(" ")));
    run(&["update"])?;
    let mut words = vec!["install", "-y", "--no-install-recommends"];
    words.extend(packages);
    run(&words)?;
    Ok(true)
}
