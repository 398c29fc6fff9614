//! The whole server inside the test process.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use antar::clock::{Clock, ManualClock};
use antar::config::Config;
use antar::model::Millis;
use antar::plugin::CompileIn;
use antar::server::World;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::api::{Api, Seen};
use crate::binary::binary;
use crate::client::Call;
use crate::database::{Database, blocking};
use crate::eventually;

/// Start time of a manual clock.
const MANUAL_START: &str = "2026-03-10T12:00:00.000Z";

/// A server to be configured and started.
pub struct Builder {
    database: Database,
    data_dir: Option<TempDir>,
    config: Config,
    manual: bool,
    ignore_unseen: bool,
}

impl Builder {
    pub(crate) fn new(database: Database) -> Builder {
        let mut config = Config::default();
        config.server.dev = true;
        config.server.workers = 1;
        // Retries in tests are due within milliseconds.
        config.delivery.poll_ms = 50;
        config.server.drain_ms = 2_000;
        // A busy machine compiles slowly; tests of background compilation change this themselves.
        config.plugins.upload_wait_ms = 60_000;
        // Many servers share the address space of one process.
        config.plugins.warm_memories_max = 16;
        Builder { database, data_dir: None, config, manual: false, ignore_unseen: false }
    }

    /// Stops time at 2026-03-10T12:00:00Z until the test moves it.
    #[must_use]
    pub fn manual_clock(mut self) -> Builder {
        self.manual = true;
        self
    }

    /// Changes any other setting.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Builder {
        change(&mut self.config);
        self
    }

    /// Production mode: HTTPS and public addresses only.
    #[must_use]
    pub fn without_dev(self) -> Builder {
        self.config(|config| config.server.dev = false)
    }

    /// Deliveries that fail or don't end, and that the test does not look at, are no failure.
    #[must_use]
    pub fn ignore_unseen_deliveries(mut self) -> Builder {
        self.ignore_unseen = true;
        self
    }

    /// Starts the server, and returns once it is ready.
    pub async fn start(mut self) -> TestServer {
        let data_dir = self.data_dir.take().unwrap_or_else(|| tempfile::tempdir().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        self.config.server.data_dir = data_dir.path().to_owned();
        self.config.server.listen = base.trim_start_matches("http://").to_owned();
        self.config.server.database_url = self.database.url().to_owned();
        let clock = self.manual.then(|| ManualClock::new(Millis::parse(MANUAL_START).unwrap()));
        let (stop, stopped) = oneshot::channel::<()>();
        let running = {
            let config = self.config.clone();
            let clock = clock.clone().map_or(Clock::System, Clock::Manual);
            let compile_in = Some(CompileIn::Process(binary().to_owned()));
            let world = World { clock, compile_in, ..World::default() };
            std::thread::spawn(move || run(config, listener, world, stopped))
        };
        wait_until_ready(&base, &running).await;
        let key = std::fs::read_to_string(data_dir.path().join("operator.key")).unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let api = Api::new(&base, key.trim(), &seen);
        let running = Some(Running { stop, thread: running });
        TestServer {
            base,
            api,
            clock,
            seen,
            running,
            data_dir: Some(data_dir),
            builder: Some(self),
        }
    }
}

/// Runs the server on a runtime of its own, like its `main`.
fn run(config: Config, listener: TcpListener, world: World, stopped: oneshot::Receiver<()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let shutdown = async move {
        // The sender is dropped when the test ends, whether it passes or panics.
        let _ = stopped.await;
    };
    let ended = runtime.unwrap().block_on(antar::run_in(config, listener, world, shutdown));
    ended.expect("the server runs");
}

async fn wait_until_ready(base: &str, running: &JoinHandle<()>) {
    eventually("the server is ready", async || {
        assert!(
            !running.is_finished(),
            "the server ended before it was ready; its words are above"
        );
        let answer = Call::new("GET", &format!("{base}/readyz")).try_send().await;
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    })
    .await;
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// A running server. Dropping it stops it, and fails the test if a delivery that the test has not
/// looked at is `failed` or has not ended.
pub struct TestServer {
    /// `http://127.0.0.1:PORT`
    pub base: String,
    /// The tenant `default` with the operator's key.
    pub api: Api,
    clock: Option<ManualClock>,
    seen: Arc<Mutex<Seen>>,
    running: Option<Running>,
    data_dir: Option<TempDir>,
    builder: Option<Builder>,
}

impl TestServer {
    /// The clock of [`Builder::manual_clock`].
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        self.clock.as_ref().expect("the server was started with manual_clock()")
    }

    /// Moves the manual clock.
    pub fn advance(&self, by: Duration) {
        self.clock().advance(by);
    }

    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.as_ref().expect("a running server has a data folder").path().to_owned()
    }

    /// The only number that a query finds in the database, under the name `number`.
    pub async fn number_in_database(&self, sql: &str) -> i64 {
        let of = self.builder.as_ref().expect("a running server was built");
        of.database.number(&self.data_dir(), sql).await
    }

    /// Another node on the same database, with the same `secrets.key`; to be started.
    #[must_use]
    pub fn another_node(&self) -> Builder {
        let of = self.builder.as_ref().expect("a running server was built");
        let data_dir = tempfile::tempdir().unwrap();
        let (from, to) = (self.data_dir(), data_dir.path());
        std::fs::copy(from.join("secrets.key"), to.join("secrets.key")).unwrap();
        let config = of.config.clone();
        let database = of.database.clone();
        Builder { data_dir: Some(data_dir), config, ..Builder::new(database) }
    }

    /// Stops the server gracefully and starts it again on the same data; a manual clock begins
    /// anew.
    pub async fn restart(mut self) -> TestServer {
        self.stop();
        let mut builder = self.builder.take().expect("a running server was built");
        builder.data_dir = self.data_dir.take();
        builder.start().await
    }

    /// As [`TestServer::restart`], with other settings.
    pub async fn restart_with(mut self, change: impl FnOnce(&mut Config)) -> TestServer {
        let builder = self.builder.take().expect("a running server was built");
        self.builder = Some(builder.config(change));
        self.restart().await
    }

    /// Applies the profiles of `examples/platforms`.
    pub async fn apply_platforms(&self) {
        for entry in std::fs::read_dir(crate::root().join("examples/platforms")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let mut profile: Value = serde_saphyr::from_str(&text).unwrap();
            profile.as_object_mut().unwrap().remove("kind");
            let path = format!("/v1/profiles/{}", profile["name"].as_str().unwrap());
            self.api.put(&path, &profile).await.expect(201);
        }
    }

    /// Creates a tenant and returns its calls with the operator's key.
    pub async fn create_tenant(&self, tenant: &str) -> Api {
        let api = self.api.tenant(tenant);
        let answer = api.put(&format!("/v1/tenants/{tenant}"), &json!({})).await;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        api
    }

    fn stop(&mut self) {
        let Some(Running { stop, thread }) = self.running.take() else { return };
        drop(stop);
        if thread.join().is_err() && !std::thread::panicking() {
            panic!("the server panicked; its words are above");
        }
    }

    /// Deliveries that failed or have not ended, and that the test has not looked at. Attempts in
    /// flight get time to end.
    fn unseen(&self) -> Vec<String> {
        let tenants: Vec<_> = self.seen.lock().unwrap().tenants.iter().cloned().collect();
        blocking(async || {
            let mut unseen = Vec::new();
            for tenant in tenants {
                let api = self.api.tenant(&tenant);
                api.settle().await;
                for state in ["pending", "in_flight", "failed"] {
                    if api.get(&format!("deliveries?state={state}&limit=1")).await.status != 200 {
                        continue; // The test erased the tenant, or never made it.
                    }
                    for row in api.list(&format!("deliveries?state={state}")).await {
                        let id = row["id"].as_str().unwrap_or_default();
                        if !self.seen.lock().unwrap().deliveries.contains(id) {
                            unseen.push(row.to_string());
                        }
                    }
                }
            }
            unseen
        })
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let ignore = self.builder.as_ref().is_none_or(|builder| builder.ignore_unseen);
        let unseen = if self.running.is_none() || ignore || std::thread::panicking() {
            Vec::new()
        } else {
            self.unseen()
        };
        self.stop();
        assert!(unseen.is_empty(), "deliveries that no test looked at: {unseen:#?}");
    }
}
