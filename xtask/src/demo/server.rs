//! The real server as a child process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::api::{Api, answers};
use super::show::Show;
use crate::at_exit::AtExit;
use crate::command::{cargo, must, read, works};

/// How long the server may take to become ready.
const READY_S_MAX: u64 = 30;
/// How long the server may take to end after a signal.
const STOP_S_MAX: u64 = 15;

/// A running server. It ends with the `AtExit` that it was started with.
pub(crate) struct Server {
    pub(crate) api: Api,
    pub(crate) data_dir: PathBuf,
    pub(crate) log: PathBuf,
    binary: PathBuf,
}

/// Empties `antar-data/demo` and returns its path.
pub(crate) fn fresh_folder(root: &Path) -> Result<PathBuf> {
    let folder = root.join("antar-data/demo");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't empty {}", folder.display()))
        }
        _ => Ok(folder),
    }
}

/// Makes a development build: a cold one takes half the time of a release build, and the tests use
/// the same files.
pub(crate) fn build(root: &Path, show: Show) -> Result<PathBuf> {
    show.step(
        "cargo build --bin antar (a development build; from cold about five minutes on two cores)",
    );
    build_server(root)
}

pub(crate) fn build_server(root: &Path) -> Result<PathBuf> {
    must(cargo(root).args(["build", "--locked", "--package", "antar", "--bin", "antar"]))?;
    let metadata =
        read(cargo(root).args(["metadata", "--locked", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let target =
        metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
    Ok(Path::new(target).join("debug/antar"))
}

impl Server {
    /// Starts the server and waits until it is ready.
    pub(crate) fn start(
        binary: &Path,
        data_dir: &Path,
        port: u16,
        at_exit: &AtExit,
    ) -> Result<Server> {
        std::fs::create_dir_all(data_dir)?;
        let log = data_dir.join("antar.log");
        let out = File::options().create(true).append(true).open(&log)?;
        let mut child = Command::new(binary)
            .arg("serve")
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--listen", &format!("127.0.0.1:{port}"), "--dev"])
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("can't start {}", binary.display()))?;
        let base = format!("http://127.0.0.1:{port}");
        let end = Instant::now() + Duration::from_secs(READY_S_MAX);
        while !answers(&format!("{base}/readyz")) {
            let ended = child.try_wait()?;
            if ended.is_some() || Instant::now() > end {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                stop(&mut child);
                bail!("antar serve is not ready; its log says:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let child = Arc::new(Mutex::new(child));
        at_exit.push(move || stop(&mut child.lock().unwrap_or_else(PoisonError::into_inner)));
        let key = std::fs::read_to_string(data_dir.join("operator.key"))
            .context("the data folder has no operator.key")?;
        let api = Api::new(base, key.trim().to_owned());
        Ok(Server { api, data_dir: data_dir.to_owned(), log, binary: binary.to_owned() })
    }

    /// Runs `antar WORDS` against this server and returns its output.
    pub(crate) fn cli(&self, words: &[&str]) -> Result<String> {
        read(
            Command::new(&self.binary)
                .args(words)
                .env("ANTAR_URL", &self.api.base)
                .env("ANTAR_KEY", &self.api.key)
                .stdin(Stdio::null()),
        )
    }
}

/// Signals the server to drain and end, and kills it if that takes too long.
fn stop(child: &mut std::process::Child) {
    works(Command::new("kill").args(["-TERM", &child.id().to_string()]));
    let end = Instant::now() + Duration::from_secs(STOP_S_MAX);
    while Instant::now() < end {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // It may have ended just now, in which case this does nothing.
    let _ = child.kill();
    let _ = child.wait();
}
