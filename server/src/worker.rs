//! Takes deliveries that are due and attempts them: fair between webhooks, each webhook bounded.
//!
//! One scheduler task owns the lanes (one for each webhook that has something to do) and decides
//! what starts next, round-robin. Attempts are tasks of their own. What was just accepted comes
//! straight from memory; everything else is claimed from the database when it is due.

mod lanes;
mod lease;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

pub use self::lease::keep_lease;

use self::lanes::{LaneKey, LaneLimits, Lanes};
use crate::clock::Clock;
use crate::model::{DeliveryId, Millis, State, WebhookId, reason};
use crate::pipeline::tenant::Tenant;
use crate::pipeline::{Job, Pipeline};
use crate::registry::Registry;
use crate::store::{Claimed, Record, StoreError};

/// Hands work to the scheduler.
#[derive(Clone)]
pub struct Dispatcher {
    inbox: mpsc::Sender<Message>,
    load: Arc<lanes::Load>,
    cancelled: Cancelled,
}

/// Deliveries in flight that shall be cancelled: those that still wait for their turn in memory
/// are not sent any more.
type Cancelled = Arc<Mutex<HashSet<DeliveryId>>>;

enum Message {
    Submit(Vec<Job>),
    /// What a poll found; when the next one has something to find.
    Polled {
        jobs: Vec<Job>,
        due_at: Option<Millis>,
    },
    Done {
        lane: LaneKey,
        due_at: Option<Millis>,
    },
    /// Something became due by hand.
    Wake,
}

impl Dispatcher {
    /// Whether a delivery to this webhook would find room in memory.
    #[must_use]
    pub fn has_room(&self, webhook_id: WebhookId) -> bool {
        self.load.has_room(webhook_id)
    }

    /// Starts deliveries that this node owns. Waits while the inbox is full.
    pub async fn submit(&self, jobs: Vec<Job>) {
        if !jobs.is_empty() {
            // Fails only after shutdown; then the next start takes the deliveries over.
            let _ = self.inbox.send(Message::Submit(jobs)).await;
        }
    }

    /// A delivery in flight is not wanted any more. The store knows it too.
    pub fn cancel(&self, id: DeliveryId) {
        // Beyond that the wish is carried out when the attempt has ended.
        const CANCELLED_MAX: usize = 10_000;
        let mut cancelled = self.cancelled.lock();
        if cancelled.len() < CANCELLED_MAX {
            cancelled.insert(id);
        }
    }

    /// Looks for due deliveries now instead of at the next poll.
    pub fn wake(&self) {
        // A full inbox is looked at anyway.
        let _ = self.inbox.try_send(Message::Wake);
    }
}

/// The scheduler. Runs until `stop` says so, then lets attempts under way end.
pub struct Worker {
    pipeline: Arc<Pipeline>,
    registry: Arc<Registry>,
    inbox: mpsc::Receiver<Message>,
    sender: mpsc::Sender<Message>,
    lanes: Lanes,
    cancelled: Cancelled,
    poll_at: Millis,
    polling: bool,
}

impl Worker {
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>, registry: Arc<Registry>) -> (Worker, Dispatcher) {
        const INBOX_MAX: usize = 1_024;
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let lanes = Lanes::new(&pipeline.config.delivery);
        let cancelled = Cancelled::default();
        let dispatcher =
            Dispatcher { inbox: sender.clone(), load: lanes.load(), cancelled: cancelled.clone() };
        let poll_at = pipeline.clock.now();
        (
            Worker { pipeline, registry, inbox, sender, lanes, cancelled, poll_at, polling: false },
            dispatcher,
        )
    }

    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let clock = self.pipeline.clock.clone();
            tokio::select! {
                message = self.inbox.recv() => {
                    let Some(message) = message else { break };
                    self.handle(message);
                }
                () = clock.sleep_until(self.poll_at), if !self.polling => self.poll(),
                // Only to start what rested for its rate.
                () = rested(&clock, self.lanes.wake_at()) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            self.start();
        }
        self.drain().await;
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Submit(jobs) => self.take(jobs),
            Message::Polled { jobs, due_at } => {
                self.polling = false;
                self.poll_at = self.poll_at.min(due_at.unwrap_or(self.poll_at));
                self.take(jobs);
            }
            Message::Done { lane, due_at } => {
                self.lanes.done(&lane, self.pipeline.clock.now());
                self.poll_at = self.poll_at.min(due_at.unwrap_or(self.poll_at));
            }
            Message::Wake => self.poll_at = self.pipeline.clock.now(),
        }
    }

    fn take(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            let limits = self.limits(&job);
            if let Some(job) = self.lanes.push(job, limits) {
                // Beyond the bound it waits in the database.
                self.spawn_release(job);
            }
        }
    }

    fn limits(&self, job: &Job) -> LaneLimits {
        let tenant_id = &job.event.key.tenant;
        let tenant = self.registry.tenant(tenant_id);
        let own = LaneKey::Webhook(job.webhook_id);
        let Some(webhook) = tenant.and_then(|tenant| tenant.webhook(job.webhook_id)) else {
            return LaneLimits { key: own, in_flight_max: 1, rate_per_s: None };
        };
        let limits = &webhook.spec.limits;
        let share =
            limits.share.as_ref().map(|name| LaneKey::Share(tenant_id.clone(), name.clone()));
        LaneLimits {
            key: share.unwrap_or(own),
            in_flight_max: webhook.plan.in_flight_max,
            rate_per_s: limits.rate_per_s,
        }
    }

    fn start(&mut self) {
        let now = self.pipeline.clock.now();
        while let Some((lane, job)) = self.lanes.next(now) {
            let (pipeline, registry) = (self.pipeline.clone(), self.registry.clone());
            let (sender, cancelled) = (self.sender.clone(), self.cancelled.clone());
            tokio::spawn(async move {
                let id = job.delivery_id;
                let due_at = if cancelled.lock().remove(&id) {
                    write(&pipeline, release(&pipeline, &job, pipeline.clock.now())).await;
                    None
                } else {
                    run(&pipeline, &registry, job).await
                };
                cancelled.lock().remove(&id);
                let _ = sender.send(Message::Done { lane, due_at }).await;
            });
        }
    }

    fn poll(&mut self) {
        let config = &self.pipeline.config.delivery;
        let now = self.pipeline.clock.now();
        let poll_ms = i64::try_from(config.poll_ms).unwrap_or(i64::MAX);
        self.poll_at = now.plus_ms(poll_ms);
        let limit = config.claim_max.min(self.lanes.room());
        if limit == 0 {
            return;
        }
        self.polling = true;
        let skip = self.lanes.full();
        let (pipeline, sender) = (self.pipeline.clone(), self.sender.clone());
        tokio::spawn(async move {
            let claimed = pipeline.store.claim_due(now, &pipeline.owner, limit, &skip).await;
            let claimed = claimed.unwrap_or_else(|error| {
                tracing::warn!(%error, "due deliveries can't be read; trying again");
                Vec::new()
            });
            // A full catch means that more is due. Otherwise what is due and was not taken waits
            // for its lane, and only what comes later is worth an early look.
            let due_at = if claimed.len() == limit {
                Some(now)
            } else {
                let next = pipeline.store.next_due_at().await.unwrap_or_default();
                next.filter(|due_at| *due_at > now)
            };
            let jobs = claimed.into_iter().map(job_of).collect();
            let _ = sender.send(Message::Polled { jobs, due_at }).await;
        });
    }

    fn spawn_release(&self, job: Job) {
        let pipeline = self.pipeline.clone();
        tokio::spawn(async move {
            let now = pipeline.clock.now();
            write(&pipeline, release(&pipeline, &job, now)).await;
        });
    }

    /// Gives back what waits and lets what runs end, within the drain time.
    async fn drain(&mut self) {
        let now = self.pipeline.clock.now();
        let waiting = self.lanes.clear();
        let pipeline = self.pipeline.clone();
        let releases = waiting.iter().map(|job| write(&pipeline, release(&pipeline, job, now)));
        let drain = Duration::from_millis(self.pipeline.config.server.drain_ms);
        let ended = tokio::time::timeout(drain, async {
            futures_util::future::join_all(releases).await;
            while self.lanes.running() > 0 || self.polling {
                match self.inbox.recv().await {
                    Some(Message::Done { lane, .. }) => self.lanes.done(&lane, now),
                    Some(Message::Polled { jobs, .. }) => {
                        self.polling = false;
                        jobs.into_iter().for_each(|job| self.spawn_release(job));
                    }
                    Some(Message::Submit(jobs)) => {
                        jobs.into_iter().for_each(|job| self.spawn_release(job));
                    }
                    Some(Message::Wake) => {}
                    None => break,
                }
            }
        });
        if ended.await.is_err() {
            tracing::warn!(
                under_way = self.lanes.running(),
                "attempts were still under way after server.drain_ms; they are made again at the next start"
            );
        }
    }
}

/// An attempt in a task of its own: a panic must neither block the lane nor leave the delivery in
/// flight for ever.
async fn run(pipeline: &Arc<Pipeline>, registry: &Arc<Registry>, job: Job) -> Option<Millis> {
    const AFTER_PANIC_MS: i64 = 60_000;
    let id = job.delivery_id;
    let (of_pipeline, of_registry) = (pipeline.clone(), registry.clone());
    let ended = tokio::spawn(async move { attempt(&of_pipeline, &of_registry, job).await }).await;
    match ended {
        Ok(due_at) => due_at,
        Err(error) => {
            tracing::error!(delivery_id = %id, %error, "an attempt ended in a panic");
            let again_at = pipeline.clock.now().plus_ms(AFTER_PANIC_MS);
            write(pipeline, moved(pipeline, id, State::Pending, None, Some(again_at))).await;
            Some(again_at)
        }
    }
}

/// Returns when `wake_at` has come; never without one.
async fn rested(clock: &Clock, wake_at: Option<Millis>) {
    match wake_at {
        Some(wake_at) => clock.sleep_until(wake_at).await,
        None => std::future::pending().await,
    }
}

fn job_of(claimed: Claimed) -> Job {
    Job {
        delivery_id: claimed.delivery.id,
        webhook_id: claimed.delivery.webhook_id,
        event: Arc::new(claimed.event),
        attempts: claimed.delivery.attempts,
        schedule_start: claimed.schedule_start,
        frozen: claimed.frozen,
    }
}

/// Back to the database, uncounted.
fn release(pipeline: &Pipeline, job: &Job, now: Millis) -> Record {
    moved(pipeline, job.delivery_id, State::Pending, None, Some(now))
}

fn moved(
    pipeline: &Pipeline,
    delivery_id: DeliveryId,
    to: State,
    reason: Option<&str>,
    next_attempt_at: Option<Millis>,
) -> Record {
    Record {
        delivery_id,
        owner: pipeline.owner.clone(),
        attempt: None,
        frozen: None,
        to,
        reason: reason.map(ToOwned::to_owned),
        next_attempt_at,
        now: pipeline.clock.now(),
    }
}

/// One attempt with its record. Returns when the next one is due.
async fn attempt(pipeline: &Pipeline, registry: &Registry, job: Job) -> Option<Millis> {
    let tenant_id = &job.event.key.tenant;
    let tenant = registry.tenant(tenant_id);
    let webhook = tenant.as_ref().and_then(|tenant| tenant.webhook(job.webhook_id));
    let (Some(tenant), Some(webhook)) = (tenant, webhook) else {
        return unknown(pipeline, &job).await;
    };
    if let Some(held) = webhook.hold_reason() {
        write(pipeline, moved(pipeline, job.delivery_id, State::Pending, Some(held), None)).await;
        return release_if_open(pipeline, &tenant, job.webhook_id).await;
    }
    let mut attempted = pipeline.attempt(&tenant, &webhook, &job).await;
    let record = &mut attempted.record;
    if record.to == State::Pending {
        // The webhook may have been changed while the attempt ran.
        match tenant.webhook(job.webhook_id) {
            None => {
                (record.to, record.next_attempt_at) = (State::Cancelled, None);
                record.reason = Some(reason::WEBHOOK_DELETED.to_owned());
            }
            Some(webhook) => {
                if let Some(held) = webhook.hold_reason() {
                    record.next_attempt_at = None;
                    record.reason = Some(held.to_owned());
                }
            }
        }
    }
    log(&webhook.spec.name, &job, record);
    let (due_at, held) = (record.next_attempt_at, record.to == State::Pending);
    write(pipeline, attempted.record).await;
    if held && due_at.is_none() {
        return release_if_open(pipeline, &tenant, job.webhook_id).await;
    }
    let current = tenant.webhook(job.webhook_id).map(|webhook| webhook.revision);
    if let Some(why) = attempted.disable
        && current == Some(webhook.revision)
        && let Err(error) = registry.disable_webhook(&tenant, job.webhook_id, &why).await
    {
        tracing::warn!(webhook = webhook.spec.name, %error, "a webhook whose receiver is gone could not be disabled");
    }
    due_at
}

/// A delivery whose webhook is not in memory: deleted, or made by another node since this one
/// started, which then takes it.
async fn unknown(pipeline: &Pipeline, job: &Job) -> Option<Millis> {
    const FOR_ANOTHER_NODE_MS: i64 = 5_000;
    let revisions = pipeline.store.webhook_revisions(job.webhook_id).await;
    let deleted = revisions.is_ok_and(|revisions| revisions.is_empty());
    let (to, reason, at) = if deleted {
        (State::Cancelled, Some(reason::WEBHOOK_DELETED), None)
    } else {
        (State::Pending, None, Some(pipeline.clock.now().plus_ms(FOR_ANOTHER_NODE_MS)))
    };
    write(pipeline, moved(pipeline, job.delivery_id, to, reason, at)).await;
    at
}

/// When a held delivery is due after all, because its webhook was opened meanwhile.
async fn release_if_open(pipeline: &Pipeline, tenant: &Tenant, id: WebhookId) -> Option<Millis> {
    match pipeline.release_if_open(tenant, id).await {
        Ok(released) => released.then(|| pipeline.clock.now()),
        Err(error) => {
            tracing::warn!(%error, "held deliveries could not be released");
            None
        }
    }
}

fn log(webhook: &str, job: &Job, record: &Record) {
    let Some(attempt) = &record.attempt else { return };
    let status = attempt.response.as_ref().map(|response| response.status);
    tracing::debug!(
        webhook,
        delivery_id = %job.delivery_id,
        event_id = %job.event.key.id,
        attempt = attempt.number,
        status,
        took_ms = attempt.took_ms,
        state = record.to.as_str(),
        error = attempt.error,
    );
    metrics::counter!("antar_attempts_total", "state" => record.to.as_str()).increment(1);
}

/// Writes a record, again and again while the database is away. A record that is lost in a crash
/// means that the delivery is sent again with the same id.
async fn write(pipeline: &Pipeline, record: Record) {
    const WAIT_MS_MAX: u64 = 5_000;
    let mut wait_ms = 50;
    loop {
        match pipeline.store.record(record.clone()).await {
            Ok(_) => return,
            Err(StoreError::Busy | StoreError::Unavailable(_)) => {
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                wait_ms = (wait_ms * 2).min(WAIT_MS_MAX);
            }
            Err(error) => {
                tracing::error!(%error, delivery_id = %record.delivery_id, "an attempt could not be recorded");
                return;
            }
        }
    }
}
