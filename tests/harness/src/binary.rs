//! The real server binary in a process of its own, which a test can kill.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;
use tempfile::TempDir;

use crate::api::{Api, Seen};
use crate::client::Call;
use crate::database::Database;
use crate::eventually;

/// The path of `antar`: the value of `ANTAR_BIN`, or else built once per test process.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("ANTAR_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let messages = cargo_build(&["--package", "antar", "--bin", "antar"]);
    let mut paths = messages.iter().filter_map(|message| message["executable"].as_str());
    PathBuf::from(paths.next_back().expect("cargo build names the program"))
}

/// Runs `cargo build` and returns its JSON messages.
pub(crate) fn cargo_build(what: &[&str]) -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--message-format=json"])
        .args(what)
        .current_dir(crate::root())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    messages.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `antar serve` in a data folder of its own. [`BinaryServer::kill`] and dropping it kill the
/// process without a graceful shutdown.
pub struct BinaryServer {
    /// The tenant `default` with the operator's key.
    pub api: Api,
    /// `http://127.0.0.1:PORT`
    pub base: String,
    pub key: String,
    port: u16,
    data_dir: TempDir,
    database: Database,
    environment: Vec<(&'static str, String)>,
    child: Option<Child>,
    seen: Arc<Mutex<Seen>>,
}

/// A port for a server that is killed and started again on it. It lies below the ephemeral ports,
/// or a receiver could get it while the server is down.
fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    let ports = std::iter::repeat_with(|| start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)));
    let ports = ports.map(|number| FIRST + u16::try_from(number % COUNT).unwrap());
    let mut free = ports.take(1_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a port below the system's own is free")
}

impl BinaryServer {
    pub async fn start(database: Database) -> BinaryServer {
        BinaryServer::start_with(database, &[("", ""); 0]).await
    }

    /// Starts a server with settings, given as `ANTAR_GROUP_NAME` and value.
    pub async fn start_with(
        database: Database,
        environment: &[(&'static str, impl AsRef<str>)],
    ) -> BinaryServer {
        let owned = environment.iter().map(|(name, value)| (*name, value.as_ref().to_owned()));
        let data_dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let base = format!("http://127.0.0.1:{port}");
        let seen = Arc::default();
        let api = Api::new(&base, "", &seen);
        let mut server = BinaryServer {
            api,
            base,
            key: String::new(),
            port,
            data_dir,
            database,
            environment: owned.collect(),
            child: None,
            seen,
        };
        server.start_again().await;
        server
    }

    /// Starts another node on the same PostgreSQL, with the same settings.
    pub async fn start_beside(&self) -> BinaryServer {
        assert!(!self.database.url().is_empty(), "SQLite has one node");
        let data_dir = tempfile::tempdir().unwrap();
        for shared in ["secrets.key", "operator.key"] {
            std::fs::copy(self.data_dir().join(shared), data_dir.path().join(shared)).unwrap();
        }
        let port = free_port();
        let base = format!("http://127.0.0.1:{port}");
        let mut server = BinaryServer {
            api: Api::new(&base, &self.key, &self.seen),
            base,
            key: self.key.clone(),
            port,
            data_dir,
            database: self.database.clone(),
            environment: self.environment.clone(),
            child: None,
            seen: Arc::clone(&self.seen),
        };
        server.start_again().await;
        server
    }

    /// Changes a setting for the next start.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_owned()));
    }

    /// Starts the server again on the same data and port, and returns once it is ready.
    pub async fn start_again(&mut self) {
        self.spawn(None);
        assert!(self.is_ready().await, "antar serve ended: {}", self.log());
    }

    /// Starts the server again on the same data and port with `faults` (of `ANTAR_FAULT`). Returns
    /// false if it failed before it was ready.
    pub async fn start_failing(&mut self, faults: &str) -> bool {
        self.spawn(Some(faults));
        self.is_ready().await
    }

    fn spawn(&mut self, faults: Option<&str>) {
        let log = self.data_dir.path().join("antar.log");
        let out = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(binary());
        command.arg("serve").arg("--dev").arg("--data-dir").arg(self.data_dir.path());
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        if !self.database.url().is_empty() {
            command.args(["--database-url", self.database.url()]);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.envs(faults.map(|faults| (antar::fault::VARIABLE, faults)));
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until the server is ready (true) or has ended (false).
    async fn is_ready(&mut self) -> bool {
        let ready = eventually("antar serve is ready", async || {
            if self.has_ended() {
                return Some(false);
            }
            let answer = Call::new("GET", &format!("{}/readyz", self.base)).try_send().await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(true)
        })
        .await;
        if !ready {
            return false;
        }
        let key = std::fs::read_to_string(self.data_dir.path().join("operator.key")).unwrap();
        self.key = key.trim().to_owned();
        self.api = Api::new(&self.base, &self.key, &self.seen);
        true
    }

    /// Whether the process ended by itself or was killed.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// Peak memory of this run in bytes; 0 if the system does not report it.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> u64 {
        let id = self.child.as_ref().expect("it runs").id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.unwrap_or_default() << 10
    }

    /// Id of the server's process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// The log of all runs so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data_dir.path().join("antar.log")).unwrap()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        // It may have ended by itself already.
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// Runs `antar WORDS` against this server; panics with its error output unless the exit code is
    /// 0.
    pub fn cli(&self, words: &[&str]) -> String {
        let output = Command::new(binary())
            .args(words)
            .env("ANTAR_URL", &self.base)
            .env("ANTAR_KEY", &self.key)
            .current_dir(crate::root())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "antar {}: {said}", words.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }
}

impl Drop for BinaryServer {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}
