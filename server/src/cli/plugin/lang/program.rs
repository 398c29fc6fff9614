//! External programs that a build runs: finding and running them, and showing their output when
//! they fail.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// Messages of registry clients that can't reach the registry.
const OFFLINE: &[&str] = &[
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "ENOTCACHED",
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Max retries exceeded",
    "No matching distribution found",
];

/// The first of these programs found in the path.
pub(super) fn find(names: &[&str]) -> Option<PathBuf> {
    let folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let files = |name: &&str| {
        let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        folders.iter().map(move |folder| folder.join(&name)).collect::<Vec<_>>()
    };
    names.iter().flat_map(files).find(|path| path.is_file())
}

/// A program's failure.
pub(super) struct Failed {
    /// All its output.
    pub(super) said: String,
}

impl Failed {
    /// Whether it could not reach its registry.
    pub(super) fn is_offline(&self) -> bool {
        OFFLINE.iter().any(|word| self.said.contains(word))
    }
}

/// Runs a command to its end and returns its standard output. The inner error is the command's
/// failure, the outer one that it could not be started.
pub(super) fn run(command: &mut Command) -> anyhow::Result<Result<String, Failed>> {
    let named = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(std::process::Stdio::null()).output().context(named)?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(Ok(out));
    }
    let said = format!("{}{out}", String::from_utf8_lossy(&output.stderr));
    Ok(Err(Failed { said: said.trim().to_owned() }))
}

/// Refuses a project that lacks a file its language needs.
pub(super) fn need_file(folder: &Path, name: &str, what: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    if !path.is_file() {
        bail!("{}: a plugin in {what} needs it, and it is not there", path.display());
    }
    Ok(())
}

/// Writes a file that every build generates anew.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let named = || path.display().to_string();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(named)?;
    }
    std::fs::write(path, text).with_context(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_is_kept_when_it_fails() {
        let cargo = find(&["no-such-program", "cargo"]).unwrap();
        assert!(
            run(Command::new(&cargo).arg("--version"))
                .unwrap()
                .is_ok_and(|said| said.starts_with("cargo"))
        );
        let failed = run(Command::new(&cargo).arg("no-such-command")).unwrap().err().unwrap();
        assert!(failed.said.contains("no-such-command") && !failed.is_offline(), "{}", failed.said);
        assert!(run(&mut Command::new("/no/such/program")).is_err());
        assert_eq!(find(&["no-such-program"]), None);
    }

    #[test]
    fn words_of_a_missing_network_are_known() {
        for said in ["npm error code ENOTFOUND", "ERROR: No matching distribution found for x==1"] {
            assert!(Failed { said: said.into() }.is_offline(), "{said}");
        }
    }
}
