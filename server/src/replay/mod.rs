//! Replays: old events sent again, as new deliveries through today's configuration. A *selection* defines
//! which events, a *plan* counts them and shows the first, a *run* creates the deliveries.
//!
//! A small replay finishes before its call is answered. A larger one continues in the background, at a
//! limited pace and no faster than its webhook takes the deliveries, so that live events still get through. A
//! replay only creates due deliveries; the worker attempts them.
//!
//! The selection and a position are stored; the position moves in the transaction that creates the
//! deliveries. The id of a delivery is derived from the replay and the event, so that an event is sent once
//! in a replay, even after a crash or on another node.

mod filter;
mod plan;
mod request;
mod run;

use std::sync::Arc;

use tokio::sync::watch;

pub use self::plan::{Plan, Sample};
pub use self::request::{EventsOf, Only, ReplayRequest};

use self::run::Run;
use crate::clock::Clock;
use crate::config::ReplayConfig;
use crate::model::{DeliveryId, Invalid, Replay, ReplayId, ReplayOf, ReplayState, Selection};
use crate::pipeline::Pipeline;
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;
use crate::registry::{ChangeError, Registry};
use crate::store::{Store, StoreError};
use crate::work_pool::NotDone;
use crate::worker::Dispatcher;

/// Starts, runs and takes over replays. A handle; clones share everything.
#[derive(Clone)]
pub struct Replays {
    pipeline: Arc<Pipeline>,
    registry: Arc<Registry>,
    dispatcher: Dispatcher,
    stop: watch::Receiver<bool>,
    /// Runtime of the runs, which outlive the thread that answered the call.
    runtime: tokio::runtime::Handle,
}

/// A started replay, and the deliveries created before the call was answered.
pub struct Started {
    pub replay: Replay,
    /// The first 100.
    pub delivery_ids: Vec<DeliveryId>,
}

impl Replays {
    /// Must be called on the runtime that runs live on; they end when `stop` is set.
    #[must_use]
    pub fn new(
        pipeline: Arc<Pipeline>,
        registry: Arc<Registry>,
        dispatcher: Dispatcher,
        stop: watch::Receiver<bool>,
    ) -> Replays {
        let runtime = tokio::runtime::Handle::current();
        Replays { pipeline, registry, dispatcher, stop, runtime }
    }

    fn store(&self) -> &Store {
        &self.pipeline.store
    }

    fn clock(&self) -> &Clock {
        &self.pipeline.clock
    }

    fn config(&self) -> &ReplayConfig {
        &self.pipeline.config.replay
    }

    /// Steps that deciding on one row may take.
    fn steps_max(&self) -> u64 {
        self.pipeline.config.intake.rule_steps_max
    }

    /// Does a tenant's work on the pool, in its turn.
    async fn on_pool<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.pipeline.work.run(&tenant.id, work).await.map_err(store_error)
    }

    /// Counts and previews what a request would send again; creates nothing.
    ///
    /// # Errors
    /// `Invalid` for a request that selects nothing or too much; `NotFound` and `Conflict` for listed events
    /// that don't exist or whose data is not stored; `Store`.
    pub async fn plan(
        &self,
        tenant: &Arc<Tenant>,
        webhook: &Arc<Webhook>,
        request: &ReplayRequest,
    ) -> Result<Plan, ChangeError> {
        const SAMPLES: usize = 3;
        let selection = self.selection(tenant, request).await?;
        self.look(tenant, webhook, &selection, SAMPLES).await
    }

    /// Starts a replay; a small one has ended when this returns.
    ///
    /// # Errors
    /// As [`Replays::plan`]; `Conflict` when the webhook is disabled, or too many replays run.
    pub async fn start(
        &self,
        tenant: &Arc<Tenant>,
        webhook: &Arc<Webhook>,
        request: &ReplayRequest,
    ) -> Result<Started, ChangeError> {
        let selection = self.selection(tenant, request).await?;
        if !webhook.enabled {
            let why = "the webhook is disabled and would miss what is replayed; enable it first";
            return Err(ChangeError::Conflict(why.to_owned()));
        }
        let counted = self.look(tenant, webhook, &selection, 0).await?;
        let config = self.config();
        let at_once =
            counted.exact && counted.count <= config.at_once_max && request.pace_per_s.is_none();
        let now = self.clock().now();
        let replay = Replay {
            id: ReplayId::new(now),
            tenant: tenant.id.clone(),
            webhook_id: webhook.id,
            selection,
            state: ReplayState::Running,
            pace_per_s: request.pace_per_s.unwrap_or(config.pace_per_s),
            total: counted.count,
            exact: counted.exact,
            made: 0,
            skipped: 0,
            position: String::new(),
            error: None,
            started_at: now,
            ended_at: None,
        };
        let running_max = (!at_once).then_some(config.running_max);
        self.store().replays.start_replay(&replay, &self.pipeline.owner, running_max).await?;
        let mut run = Run::new(replay)?;
        if at_once && let Err(error) = self.finish(&mut run).await {
            // It is stored, and continues as soon as the database is available again.
            tracing::warn!(%error, replay = %run.replay.id, "a replay goes on in the background");
        }
        let started =
            Started { replay: run.replay.clone(), delivery_ids: run.delivery_ids.clone() };
        if run.replay.state == ReplayState::Running {
            self.spawn(run);
        }
        Ok(started)
    }

    /// Periodically takes over replays without a live owner and deletes old ones, until the server stops.
    pub async fn keep(self) {
        const FORGET_EVERY_MS: i64 = 3_600_000;
        let lease_ms = u64::try_from(self.pipeline.config.store.lease_ms).unwrap_or_default();
        let every = std::time::Duration::from_millis((lease_ms / 3).max(1));
        let mut stop = self.stop.clone();
        let mut forget_at = self.clock().now();
        loop {
            let now = self.clock().now();
            if let Err(error) = self.take_over().await {
                tracing::warn!(%error, "replays of nodes that are gone can't be read");
            }
            if now >= forget_at {
                forget_at = now.plus_ms(FORGET_EVERY_MS);
                let keep_ms = i64::try_from(self.config().keep_ms).unwrap_or(i64::MAX);
                if let Err(error) = self.store().replays.forget_replays(now.plus_ms(-keep_ms)).await
                {
                    tracing::warn!(%error, "old replays could not be forgotten");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn take_over(&self) -> Result<(), StoreError> {
        let (owner, now) = (&self.pipeline.owner, self.clock().now());
        for replay in self.store().replays.orphaned_replays(owner, now).await? {
            // A webhook that is stored but not known here was created by another node since this one started;
            // a deleted one is known to no node, so any node may end its replay.
            let tenant = self.registry.tenant(&replay.tenant);
            let known = tenant.is_some_and(|tenant| tenant.webhook(replay.webhook_id).is_some());
            if !known && self.store().configuration.webhook(replay.webhook_id).await?.is_some() {
                continue;
            }
            if self.store().replays.claim_replay(replay.id, owner, now).await? {
                tracing::info!(replay = %replay.id, made = replay.made, "a replay goes on");
                match Run::new(replay) {
                    Ok(run) => self.spawn(run),
                    Err(error) => tracing::error!(%error, "a stored replay can't be read"),
                }
            }
        }
        Ok(())
    }

    /// Turns a request into a selection, and checks listed events against the store.
    async fn selection(
        &self,
        tenant: &Tenant,
        request: &ReplayRequest,
    ) -> Result<Selection, ChangeError> {
        let selection = request.selection(self.config(), self.clock().now())?;
        let ReplayOf::Listed { event_ids } = &selection.of else { return Ok(selection) };
        const IDS_AT_ONCE: usize = 500;
        for ids in event_ids.chunks(IDS_AT_ONCE) {
            let found = self.store().replays.newest_events(&tenant.id, ids).await?;
            for id in ids {
                let event = found.get(id).ok_or(ChangeError::NotFound("event"))?;
                let why = match (&event.dropped_reason, event.data_kept) {
                    (Some(_), _) => "was dropped at intake, and its data was never stored",
                    (None, false) => "has had its time, and its data is no longer kept",
                    (None, true) => continue,
                };
                return Err(ChangeError::Conflict(format!("the event {id} {why}")));
            }
        }
        Ok(selection)
    }
}

impl From<antar_rules::PatternError> for Unreadable {
    fn from(error: antar_rules::PatternError) -> Unreadable {
        Unreadable(error.detail)
    }
}

/// The rule of a stored selection does not parse: it is from another program, or from a newer version.
#[derive(Debug, thiserror::Error)]
#[error("the rule of a replay can't be read: {0}")]
struct Unreadable(String);

impl From<Unreadable> for ChangeError {
    fn from(error: Unreadable) -> ChangeError {
        Invalid::at("/rule", error.to_string()).into()
    }
}

/// A replay that can't get its turn waits like one that can't write.
fn store_error(error: NotDone) -> StoreError {
    match error {
        NotDone::Full { .. } | NotDone::TenantFull { .. } => StoreError::Busy,
        NotDone::Panicked => StoreError::Corrupt(error.to_string()),
    }
}
