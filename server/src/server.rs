//! The server as a function: start-up and ordered shutdown, without global state.

use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::clock::{Clock, DatabaseClock};
use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::live_stream::{self, Live};
use crate::model::TenantSpec;
use crate::pipeline::accept::loops::Loops;
use crate::pipeline::client::address::AddressPolicy;
use crate::pipeline::client::send::{Network, Sender};
use crate::pipeline::{Pipeline, RequestMemory};
use crate::plugin::{CompileIn, Host};
use crate::registry::{By, Registry};
use crate::rejections::Rejections;
use crate::replay::Replays;
use crate::retention::Retention;
use crate::store::{Pace, Settings, Store};
use crate::work_pool::WorkPool;
use crate::worker::{self, Lease, Worker};

/// Serves on `listener` until `shutdown` completes, then drains running requests and attempts.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    run_in(config, listener, World::default(), shutdown).await
}

/// [`run`] in a given environment, for tests.
pub async fn run_in(
    config: Config,
    listener: TcpListener,
    world: World,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let node = Node::start(config, world).await?;
    tokio::spawn(crate::http::keep_metrics(node.stop.subscribe()));
    let http = crate::http::serve(node.app.clone().into(), listener)
        .context("the HTTP server can't start")?;
    let handle = http.handle();
    let mut http = tokio::spawn(http);
    node.app.ready.store(true, Ordering::Release);
    let ended = tokio::select! {
        () = shutdown => None,
        ended = &mut http => Some(ended),
    };

    // First stop accepting requests, then stop starting attempts, then write the last records.
    node.app.ready.store(false, Ordering::Release);
    node.app.live.close();
    handle.stop(true).await;
    node.stop().await?;
    if let Some(ended) = ended {
        ended.context("the HTTP server ended in a panic")?.context("the HTTP server ended")?;
    }
    Ok(())
}

/// The environment of a node, which tests may replace.
#[derive(Clone, Default)]
pub struct World {
    pub clock: Clock,
    /// None: the machine's network.
    pub network: Option<Network>,
    /// Simulates the database, at this pace.
    pub pace: Option<Pace>,
    /// Where plugins are compiled. None: in processes of the running program, which must be Antar's.
    pub compile_in: Option<CompileIn>,
}

/// A node without its HTTP server: everything that runs by itself. Dropping it stops nothing; the end of its
/// runtime does, like a crash.
pub struct Node {
    pub app: Arc<App>,
    /// Holds the folder's lock.
    _folder: DataFolder,
    stop: watch::Sender<bool>,
    worker: JoinHandle<()>,
    replays: JoinHandle<()>,
    retention: JoinHandle<()>,
    rejections: JoinHandle<()>,
    end_lease: watch::Sender<bool>,
    lease: JoinHandle<()>,
}

impl Node {
    /// Opens the data folder and the database, and starts all tasks.
    pub async fn start(config: Config, world: World) -> anyhow::Result<Node> {
        config.check()?;
        let compile_in = world.compile_in.map_or_else(CompileIn::this_program, Ok);
        let compile_in = compile_in.context("the path of this program is unknown")?;
        let config = Arc::new(config);
        let folder = DataFolder::open(&config.server)?;
        let store = open_store(&config, &folder, world.pace).await?;
        let (stop, stopped) = watch::channel(false);
        let clock = common_clock(world.clock, &store).await?;
        // Subscribe before anything is read, so that no change is missed.
        let changes = store.configuration.changes().await?;
        let parts = Parts {
            lease: Lease::new(config.store.lease_ms),
            config,
            clock,
            network: world.network,
            store,
            compile_in,
        };
        let lease = parts.lease.clone();
        let (app, worker, rejections) = start(parts, &folder, stopped.clone()).await?;
        let app = Arc::new(app);
        // The lease is kept until the last attempt has ended.
        let (end_lease, lease_ended) = watch::channel(false);
        let lease =
            worker::keep_lease(app.pipeline.clone(), lease, app.dispatcher.clone(), lease_ended);
        let lease = tokio::spawn(lease);
        if let Some(changes) = changes {
            tokio::spawn(app.registry.clone().follow(changes, stopped.clone()));
        }
        let retention = Retention::new(app.pipeline.clone(), app.registry.clone(), stopped.clone());
        let retention = tokio::spawn(retention.keep());
        let replays = tokio::spawn(app.replays.clone().keep());
        let worker = tokio::spawn(worker.run(stopped));
        Ok(Node {
            app,
            _folder: folder,
            stop,
            worker,
            replays,
            retention,
            rejections,
            end_lease,
            lease,
        })
    }

    /// Lets running work end, writes the last records, and closes the store.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        self.worker.await.context("the worker ended in a panic")?;
        self.replays.await.context("the keeper of replays ended in a panic")?;
        self.retention.await.context("the keeper of what is old ended in a panic")?;
        self.rejections.await.context("the keeper of rejections ended in a panic")?;
        self.end_lease.send_replace(true);
        self.lease.await.context("the lease keeper ended in a panic")?;
        self.app.store.clone().close().await;
        Ok(())
    }
}

/// Opens the folder's database and applies pending migrations; with `server.migrate` off, they are an error.
async fn open_store(
    config: &Config,
    folder: &DataFolder,
    pace: Option<Pace>,
) -> anyhow::Result<Store> {
    let settings = Settings {
        url: folder.database_url().to_owned(),
        node: folder.node.clone(),
        readers_max: config.store.readers_max,
        commit_batch_max: config.store.commit_batch_max,
        commit_wait: Duration::from_micros(config.store.commit_wait_us),
        record_wait: Duration::from_millis(config.store.record_wait_ms),
        answer_timeout: Duration::from_millis(config.store.answer_timeout_ms),
        commit_queue_max: config.store.commit_queue_max,
        commit_queue_wait: Duration::from_millis(config.store.commit_queue_wait_ms),
        commit_rows_max: config.store.commit_rows_max,
        busy_timeout_ms: config.store.busy_timeout_ms,
        pace,
        ..Settings::default()
    };
    let store = Store::connect(&settings).await.context("the database can't be opened")?;
    if config.server.migrate {
        for name in store.migrate().await.context("the database can't be brought up to date")? {
            tracing::info!(name, "migrated");
        }
    } else if let Some(first) = store.pending_migrations().await?.first() {
        anyhow::bail!(
            "the database lacks the migration {first}; run `antar migrate`, or set server.migrate"
        );
    }
    Ok(store)
}

fn live_limits(config: &Config) -> live_stream::Limits {
    live_stream::Limits {
        listeners_max: config.server.listeners_max,
        listeners_per_tenant_max: config.tenant.listeners_max,
        bytes_max: config.server.listener_bytes_max,
        bytes_per_tenant_max: config.tenant.listener_bytes_max,
        body_bytes_max: config.tenant.listener_body_bytes_max,
    }
}

/// Nodes that share a database use its clock.
async fn common_clock(clock: Clock, store: &Store) -> anyhow::Result<Clock> {
    Ok(match (clock, store.queue.time().await?) {
        (Clock::System, Some((now, at))) => Clock::Database(Arc::new(DatabaseClock::new(now, at))),
        (clock, _) => clock,
    })
}

/// The parts that a node is made of.
struct Parts {
    config: Arc<Config>,
    clock: Clock,
    network: Option<Network>,
    store: Store,
    lease: Lease,
    compile_in: CompileIn,
}

async fn start(
    parts: Parts,
    folder: &DataFolder,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<(App, Worker, JoinHandle<()>)> {
    let Parts { config, clock, network, store, lease, compile_in } = parts;
    let sealer = folder.sealer(&store).await?;
    let time = clock.clone();
    let now_ms = Arc::new(move || time.now().0);
    let code = config.server.data_dir.join("plugin-code");
    let host = Arc::new(Host::open(config.plugins.clone(), compile_in, Some(&code), now_ms)?);
    let policy = AddressPolicy {
        loopback: config.server.dev,
        allowed: config.delivery.allowed_networks.clone(),
    };
    let sender = match network {
        Some(network) => Sender::over(network, policy.clone(), &config.delivery),
        None => Sender::new(policy.clone(), &config.delivery)
            .context("no root certificates were found; install the package ca-certificates")?,
    };
    let registry =
        Registry::load(config.clone(), clock.clone(), store.clone(), sealer, host.clone(), policy)
            .await?;
    registry.resume_uploads();
    registry.recompile_plugins();
    registry.admit_operator_key(&folder.operator_key).await?;
    let default = crate::DEFAULT_TENANT.parse().map_err(anyhow::Error::msg)?;
    if registry.tenant(&default).is_none() {
        registry.put_tenant(default, TenantSpec::default(), By::Operator).await?;
    }
    let now = clock.now();
    let owner = store.queue.register_node(&folder.node, now, config.store.lease_ms).await?;
    let taken = store.queue.take_over(&owner, now).await?;
    if taken > 0 {
        tracing::info!(taken, "deliveries of the last run go on");
    }
    let pipeline = Pipeline {
        config: config.clone(),
        clock: clock.clone(),
        host,
        store: store.clone(),
        sender,
        work: WorkPool::start(&config.work).context("the threads for large work don't start")?,
        owner,
        loops: Loops::default(),
        requests: RequestMemory::new(&config.delivery),
    };
    let pipeline = Arc::new(pipeline);
    let live = Arc::new(Live::new(live_limits(&config)));
    let (worker, dispatcher) = Worker::new(lease, pipeline.clone(), registry.clone(), live.clone());
    let (rejections, kept_rejections) =
        Rejections::start(config.clone(), store.clone(), clock.clone(), stop.clone());
    let replays = Replays::new(pipeline.clone(), registry.clone(), dispatcher.clone(), stop);
    let ready = Arc::new(AtomicBool::new(false));
    let app = App {
        config,
        clock,
        store,
        registry,
        pipeline,
        dispatcher,
        replays,
        live,
        rejections,
        ready,
    };
    Ok((app, worker, kept_rejections))
}
