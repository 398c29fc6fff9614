//! Runs cargo for the target.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use crate::{TRIPLE, WasmTarget};

/// The guest's own stack lies at the lowest addresses, so that an overflow traps. rustc's default
/// is 1 MiB; with less, all of a small guest's memory is cleared in less time than it takes to find
/// out which of it was written. With SIMD the SDK scans JSON sixteen bytes at a time.
const RUSTFLAGS: &str = "-Clink-arg=-zstack-size=65536 -Ctarget-feature=+simd128,+bulk-memory";

/// What to build, and how.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// The `Cargo.toml` of the package, or of the workspace.
    pub manifest: &'a Path,
    /// Names of packages of the workspace; empty for the manifest's own package.
    pub packages: &'a [&'a str],
    /// Should not be that of an outer cargo that is running: it holds a lock there.
    pub target_dir: &'a Path,
    /// A profile of the workspace: `release`, or one made for guests.
    pub profile: &'a str,
}

/// Why a build made no files.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("cargo did not start: {0}")]
    Start(#[from] std::io::Error),
    /// With the compiler's output.
    #[error("cargo build failed:\n{0}")]
    Failed(String),
    /// With cargo's lines about what is missing.
    #[error(
        "crates.io can't be reached, and not all crates that are needed are on this machine:\n{0}\n\
         Run `cargo fetch` in the same folder where there is a network, and bring its Cargo.lock and \
         the folder registry of ~/.cargo along; or name a mirror in ~/.cargo/config.toml under \
         [source.crates-io]"
    )]
    Offline(String),
    #[error("{0} built, but made no .wasm file: its [lib] needs crate-type = [\"cdylib\"]")]
    NoWasm(String),
}

/// Texts in cargo's output if it can't reach the network or must not use it.
const NETWORK: &[&str] = &[
    "spurious network error",
    "failed to download",
    "download of config.json failed",
    "resolve host",
    "you're using offline mode",
    "without the offline flag",
    "but --offline was specified",
];

pub(crate) fn run(
    target: &WasmTarget,
    build: &Build<'_>,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<PathBuf>, BuildError> {
    match run_once(&mut command(target, build), progress)? {
        Ok(messages) => files(&messages, build),
        Err(complaints) if is_about_network(&complaints) => {
            progress("crates.io can't be reached; trying with the crates on this machine");
            match run_once(command(target, build).arg("--offline"), progress)? {
                Ok(messages) => files(&messages, build),
                Err(complaints) if is_about_network(&complaints) => {
                    Err(BuildError::Offline(missed(&complaints)))
                }
                Err(complaints) => Err(BuildError::Failed(complaints)),
            }
        }
        Err(complaints) => Err(BuildError::Failed(complaints)),
    }
}

fn is_about_network(complaints: &str) -> bool {
    NETWORK.iter().any(|words| complaints.contains(words))
}

/// The lines that name what is missing, without cargo's advice.
fn missed(complaints: &str) -> String {
    let lines = complaints.lines().map(str::trim);
    let words = ["error: ", "required by ", "failed to ", "no matching package"];
    let named = lines.filter(|line| words.iter().any(|word| line.starts_with(word)));
    let named: Vec<String> = named.take(6).map(|line| format!("  {line}")).collect();
    named.join("\n")
}

/// Cargo's messages, or its standard error if it fails.
fn run_once(
    command: &mut Command,
    progress: &mut dyn FnMut(&str),
) -> Result<Result<String, String>, BuildError> {
    let mut child = command.spawn()?;
    let stdout = child.stdout.take();
    // Both pipes are read at once; otherwise a full one would block cargo.
    let reading = thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stdout) = stdout {
            // If the output is cut short, the missing file is noticed below.
            let _ = stdout.read_to_string(&mut text);
        }
        text
    });
    let mut complaints = String::new();
    for line in child.stderr.take().into_iter().flat_map(|e| BufReader::new(e).lines()) {
        let line = line?;
        progress(&line);
        complaints.push_str(&line);
        complaints.push('\n');
    }
    let status = child.wait()?;
    let messages = reading.join().unwrap_or_default();
    Ok(if status.success() { Ok(messages) } else { Err(complaints) })
}

fn command(target: &WasmTarget, build: &Build<'_>) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--message-format=json-render-diagnostics", "--target", TRIPLE])
        .args(["--profile", build.profile])
        .arg("--manifest-path")
        .arg(build.manifest)
        .arg("--target-dir")
        .arg(build.target_dir)
        .args(build.packages.iter().flat_map(|name| ["-p", name]))
        .args(target.build_std.then_some("-Zbuild-std=std,panic_abort"))
        // Flags of an outer cargo are for another target, and would override these.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", RUSTFLAGS)
        .envs(target.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The `.wasm` files in cargo's messages (one JSON object per line).
fn files(messages: &str, build: &Build<'_>) -> Result<Vec<PathBuf>, BuildError> {
    let made: Vec<(String, PathBuf)> = messages.lines().filter_map(file).collect();
    if build.packages.is_empty() {
        let missing = || BuildError::NoWasm(build.manifest.display().to_string());
        let paths: Vec<PathBuf> = made.into_iter().map(|(_, path)| path).collect();
        return if paths.is_empty() { Err(missing()) } else { Ok(paths) };
    }
    let of = |package: &&str| {
        let found = made.iter().find(|(name, _)| name == package);
        found.map(|(_, path)| path.clone()).ok_or_else(|| BuildError::NoWasm((*package).into()))
    };
    build.packages.iter().map(of).collect()
}

/// Package name and path of a message about a `.wasm` file.
fn file(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let paths = message["filenames"].as_array()?.iter().filter_map(|path| path.as_str());
    let path = paths.filter(|path| path.ends_with(".wasm")).map(PathBuf::from).next()?;
    // path+file:///folder/name#1.2.3 or path+file:///folder#name@1.2.3
    let (folder, fragment) = message["package_id"].as_str()?.split_once('#')?;
    let name = match fragment.split_once('@') {
        Some((name, _version)) => name,
        None => folder.rsplit('/').next()?,
    };
    Some((name.to_owned(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = r#"{"reason":"compiler-artifact","package_id":"registry+https://x#serde@1.0.1","filenames":["/t/libserde.rlib"]}
{"reason":"compiler-artifact","package_id":"path+file:///w/plugins/redact#0.1.0","filenames":["/t/redact.wasm"]}
{"reason":"compiler-artifact","package_id":"path+file:///w/labels#by-label@0.1.0","filenames":["/t/by_label.wasm"]}
{"reason":"build-finished","success":true}"#;

    fn build<'a>(packages: &'a [&'a str]) -> Build<'a> {
        let here = Path::new(".");
        Build { manifest: here, packages, target_dir: here, profile: "release" }
    }

    #[test]
    fn what_is_missing_without_a_network_is_told_from_other_failures() {
        let offline = "error: no matching package named `schemars` found\nlocation searched: \
                       crates.io index\nrequired by package `antar-sdk v0.1.0 (/x)`\nAs a reminder, \
                       you're using offline mode (--offline)";
        assert!(is_about_network(offline));
        let text = BuildError::Offline(missed(offline)).to_string();
        assert!(text.contains("no matching package named `schemars`"), "{text}");
        assert!(text.contains("cargo fetch") && !text.contains("reminder"), "{text}");
        assert!(!is_about_network("error[E0308]: mismatched types"));
    }

    #[test]
    fn files_come_in_the_order_they_were_asked_for() {
        let paths = files(MESSAGES, &build(&["by-label", "redact"])).unwrap();
        assert_eq!(paths, [Path::new("/t/by_label.wasm"), Path::new("/t/redact.wasm")]);
    }

    #[test]
    fn a_package_that_made_no_file_is_named() {
        let error = files(MESSAGES, &build(&["redact", "serde"])).unwrap_err();
        assert!(error.to_string().contains("serde built, but made no .wasm"), "{error}");
    }
}
