//! Runs: create the deliveries of a replay step by step.

use std::sync::Arc;
use std::time::Duration;

use antar_json::Steps;

use super::filter::{Decided, Decision, Filter, delivery_id};
use super::{Replays, Unreadable};
use crate::model::{DeliveryId, Event, Millis, Replay, ReplayState, State};
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;
use crate::pipeline::{replayed_delivery, undecided_delivery};
use crate::store::{
    Candidate, Candidates, NewDelivery, Owner, PageSize, ReplayEnd, ReplayStep, StoreError,
};

/// Rows read, and deliveries created, per step at most.
const STEP_MAX: usize = 100;
/// Steps per second, if the pace allows at least one delivery per step.
const STEPS_PER_S: u32 = 10;
/// Interval at which a run that waits for its deliveries checks them.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Longest wait before an unavailable database is tried again.
const AWAY_MAX: Duration = Duration::from_secs(5);

/// A running replay.
pub(super) struct Run {
    pub(super) replay: Replay,
    filter: Arc<Filter>,
    /// Deliveries it created that may still be due.
    open: Vec<DeliveryId>,
    /// The first of the deliveries it created.
    pub(super) delivery_ids: Vec<DeliveryId>,
    /// The last step left out rows, so the next one reads more.
    sparse: bool,
    /// Earliest time of the next step.
    next_at: Millis,
}

/// Result of a step.
enum Step {
    Made(usize),
    Ended,
}

/// Why a replay can't continue.
enum Stuck {
    /// Permanently; the text is a sentence for the user who started it.
    Failed(&'static str),
    Store(StoreError),
}

impl From<StoreError> for Stuck {
    fn from(error: StoreError) -> Stuck {
        Stuck::Store(error)
    }
}

impl Run {
    pub(super) fn new(replay: Replay) -> Result<Run, Unreadable> {
        let filter = Arc::new(Filter::new(&replay.selection)?);
        let next_at = replay.started_at;
        Ok(Run {
            replay,
            filter,
            open: Vec::new(),
            delivery_ids: Vec::new(),
            sparse: true,
            next_at,
        })
    }

    fn ended(&mut self, state: ReplayState, error: Option<&str>, now: Millis) {
        self.replay.state = state;
        self.replay.error = error.map(ToOwned::to_owned);
        self.replay.ended_at = Some(now);
    }

    /// Deliveries per step at the replay's pace.
    fn step_size(&self) -> usize {
        let size = self.replay.pace_per_s.div_ceil(STEPS_PER_S);
        usize::try_from(size).unwrap_or(STEP_MAX).clamp(1, STEP_MAX)
    }

    /// Schedules the next step as the pace requires after `made` deliveries.
    fn rest(&mut self, made: usize, now: Millis) {
        let made = i64::try_from(made).unwrap_or(i64::MAX);
        let pause_ms = made.saturating_mul(1_000) / i64::from(self.replay.pace_per_s.max(1));
        self.next_at = self.next_at.max(now).plus_ms(pause_ms);
    }
}

impl Replays {
    /// Runs to the end, without a pace.
    pub(super) async fn finish(&self, run: &mut Run) -> Result<(), StoreError> {
        loop {
            match self.step(run, STEP_MAX).await {
                Ok(Step::Ended) => return Ok(()),
                Ok(Step::Made(_)) => {}
                Err(Stuck::Failed(why)) => return self.fail(run, why).await,
                Err(Stuck::Store(error)) => return Err(error),
            }
        }
    }

    pub(super) fn spawn(&self, run: Run) {
        let replays = self.clone();
        self.runtime.spawn(async move { replays.run(run).await });
    }

    /// Runs at the replay's pace until it has ended, was stopped, or the server stops.
    async fn run(self, mut run: Run) {
        let mut away = Duration::from_millis(50);
        while run.replay.state == ReplayState::Running && !*self.stop.borrow() {
            let went = self.turn(&mut run).await;
            let went = match went {
                Err(Stuck::Failed(why)) => self.fail(&mut run, why).await.map_err(Stuck::Store),
                went => went,
            };
            match went {
                Ok(()) => away = Duration::from_millis(50),
                Err(Stuck::Store(StoreError::Busy | StoreError::Unavailable(_))) => {
                    self.sleep(away).await;
                    away = (away * 2).min(AWAY_MAX);
                }
                Err(Stuck::Store(error)) => {
                    tracing::error!(%error, replay = %run.replay.id, "a replay can't go on");
                    let why = "something went wrong inside; the server's log has the cause";
                    if self.fail(&mut run, why).await.is_err() {
                        return;
                    }
                }
                Err(Stuck::Failed(_)) => return,
            }
        }
    }

    /// Runs one step when it is due.
    async fn turn(&self, run: &mut Run) -> Result<(), Stuck> {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = self.clock().sleep_until(run.next_at) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
        if !self.has_room(run).await? {
            self.sleep(LOOK_AGAIN).await;
            // Only a step notices that the replay was stopped, and the next one may be far off.
            return self.reload(run).await;
        }
        match self.step(run, run.step_size()).await {
            Ok(Step::Made(made)) => run.rest(made, self.clock().now()),
            Ok(Step::Ended) => {}
            // The replay was stopped, or the last step was committed although its commit returned an error.
            Err(Stuck::Store(StoreError::Conflict(_))) => return self.reload(run).await,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// False while too many of its deliveries wait to be attempted.
    async fn has_room(&self, run: &mut Run) -> Result<bool, StoreError> {
        if run.filter.replaces_waiting() {
            // Each new delivery replaces a waiting one.
            return Ok(true);
        }
        let open_max = self.config().open_max;
        if run.open.len() >= open_max {
            run.open = self.store().replays.open_deliveries(&run.open, self.clock().now()).await?;
        }
        Ok(run.open.len() < open_max)
    }

    async fn reload(&self, run: &mut Run) -> Result<(), Stuck> {
        match self.store().replays.own_replay(run.replay.id, &self.pipeline.owner).await? {
            Some(replay) => run.replay = replay,
            None => run.ended(ReplayState::Stopped, None, self.clock().now()),
        }
        Ok(())
    }

    async fn fail(&self, run: &mut Run, why: &str) -> Result<(), StoreError> {
        let (owner, now) = (&self.pipeline.owner, self.clock().now());
        self.store().replays.end_replay(run.replay.id, owner, ReplayEnd::Failed(why), now).await?;
        run.ended(ReplayState::Failed, Some(why), now);
        Ok(())
    }

    async fn sleep(&self, time: Duration) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Reads the next rows and creates up to `size_max` deliveries.
    async fn step(&self, run: &mut Run, size_max: usize) -> Result<Step, Stuck> {
        let (tenant, webhook) = self.receiver(run)?;
        let rows_max = if run.sparse { STEP_MAX } else { size_max };
        let size = PageSize { rows_max, bytes_max: self.config().read_bytes_max };
        let replay = &run.replay;
        let Candidates { rows, more } = self
            .store()
            .replays
            .replay_candidates(&tenant.id, webhook.id, &replay.selection, &replay.position, size)
            .await?;
        let filling = Filling {
            filter: run.filter.clone(),
            replay: run.replay.clone(),
            owner: self.pipeline.owner.clone(),
            webhook: webhook.clone(),
            size_max,
            steps_max: self.steps_max(),
            now: self.clock().now(),
        };
        let filled = self.on_pool(&tenant, move || filling.fill(rows)).await?;
        let Filled { step, looked_at_all } = filled;
        let (to, ids) = (step.to.clone(), step.deliveries.iter().map(|d| d.1.id));
        let (ids, skipped): (Vec<_>, _) = (ids.collect(), step.skipped);
        let held = |d: &&NewDelivery| d.state == State::Pending && d.next_attempt_at.is_none();
        let held = step.deliveries.iter().map(|d| &d.1).any(|d| held(&d));
        let made = self.store().replays.replay_step(step).await?;
        let made: Vec<DeliveryId> =
            ids.iter().zip(&made).filter(|(_, made)| **made).map(|(id, _)| *id).collect();
        run.noted(&made, skipped, ids.len(), to);
        if !made.is_empty() {
            self.start_made(&tenant, &webhook, held).await?;
        }
        if !more && looked_at_all {
            let (owner, now) = (&self.pipeline.owner, self.clock().now());
            if self.store().replays.end_replay(run.replay.id, owner, ReplayEnd::Done, now).await? {
                run.ended(ReplayState::Done, None, now);
            } else {
                run.ended(ReplayState::Stopped, None, now);
            }
            return Ok(Step::Ended);
        }
        Ok(Step::Made(made.len()))
    }

    /// The current webhook: during a long replay it may be paused, changed or deleted.
    fn receiver(&self, run: &Run) -> Result<(Arc<Tenant>, Arc<Webhook>), Stuck> {
        let tenant = self.registry.tenant(&run.replay.tenant);
        let tenant = tenant.ok_or(Stuck::Failed("the tenant was erased"))?;
        let webhook = tenant.webhook(run.replay.webhook_id);
        let webhook = webhook.ok_or(Stuck::Failed("the webhook was deleted"))?;
        if !webhook.enabled {
            return Err(Stuck::Failed(
                "the webhook was disabled; enable it, and replay what is left",
            ));
        }
        Ok((tenant, webhook))
    }

    /// Wakes the worker, which claims what is due.
    async fn start_made(
        &self,
        tenant: &Tenant,
        webhook: &Webhook,
        held: bool,
    ) -> Result<(), StoreError> {
        if held {
            // The webhook may have been resumed while they were written.
            self.pipeline.release_if_open(tenant, webhook.id).await?;
        }
        self.dispatcher.wake();
        Ok(())
    }
}

/// What a step is built from.
struct Filling {
    filter: Arc<Filter>,
    replay: Replay,
    owner: Owner,
    webhook: Arc<Webhook>,
    size_max: usize,
    steps_max: u64,
    now: Millis,
}

struct Filled {
    step: ReplayStep,
    looked_at_all: bool,
}

impl Filling {
    /// Builds a step from the rows, up to the last one that it has room for.
    fn fill(self, rows: Vec<Candidate>) -> Filled {
        let mut step = ReplayStep {
            id: self.replay.id,
            owner: self.owner.clone(),
            from: self.replay.position.clone(),
            to: self.replay.position.clone(),
            deliveries: Vec::new(),
            skipped: 0,
            now: self.now,
        };
        let mut looked_at_all = true;
        for Decided { row, decision } in self.filter.decide(&self.webhook, rows, self.steps_max) {
            if step.deliveries.len() >= self.size_max {
                looked_at_all = false;
                break;
            }
            let instead_of = Filter::instead_of(&row);
            match row.event.as_ref().filter(|event| !is_own(&self.replay, &row, event)) {
                Some(event) if decision != Decision::Unwanted => {
                    let delivery = self.new_delivery(event, decision);
                    step.deliveries.push((Arc::clone(event), delivery, instead_of));
                }
                _ => step.skipped += 1,
            }
            step.to = row.position;
        }
        Filled { step, looked_at_all }
    }

    /// Due now, and never in flight: claims take turns between webhooks.
    fn new_delivery(&self, event: &Event, decision: Decision) -> NewDelivery {
        let delivery = match decision {
            Decision::Undecided => undecided_delivery(self.webhook.id, self.now),
            _ => replayed_delivery(&self.webhook, event, self.now, &Steps::new(self.steps_max)),
        };
        NewDelivery { id: delivery_id(&self.replay, event), ..delivery }
    }
}

impl Run {
    fn noted(&mut self, made: &[DeliveryId], skipped: u64, tried: usize, to: String) {
        const DELIVERY_IDS_SHOWN: usize = 100;
        let count = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        let left_out = skipped + count(tried - made.len());
        self.sparse = left_out > 0;
        self.replay.made += count(made.len());
        self.replay.skipped += left_out;
        self.replay.position = to;
        let room = DELIVERY_IDS_SHOWN.saturating_sub(self.delivery_ids.len());
        self.delivery_ids.extend(made.iter().take(room));
        if !self.filter.replaces_waiting() {
            self.open.extend(made);
        }
    }
}

/// Whether this very replay created the row, within the millisecond in which it started.
fn is_own(replay: &Replay, row: &Candidate, event: &Event) -> bool {
    row.delivery.is_some_and(|(id, _)| id == delivery_id(replay, event))
}
