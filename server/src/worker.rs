//! The delivery worker: claims due deliveries and runs their attempts, fairly between tenants and webhooks,
//! and within the limits of each webhook.
//!
//! One scheduler task owns the lanes (one for each webhook with work) and picks the next attempt round-robin.
//! Each attempt is a task of its own. Deliveries of newly accepted events are submitted from memory; all
//! others are claimed from the database when they are due.

mod attempt;
mod dispatcher;
mod fair_turns;
mod health_actions;
mod lane;
mod lane_key;
mod lanes;
mod lease;
mod poll;
mod queue_occupancy;
mod receiver_breaker;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub use self::dispatcher::Dispatcher;
pub use self::lease::{Lease, keep_lease};

use self::attempt::{Ended, Parts, Probes, release, run};
use self::dispatcher::{Cancelled, Message};
use self::health_actions::{Actor, Task};
use self::lane_key::{LaneKey, LaneLimits};
use self::lanes::{GivenBack, Lanes};
use self::receiver_breaker::{Breaker, HealthAction, Subject};
use crate::live_stream::Live;
use crate::model::{DeliveryId, Millis, reason};
use crate::pipeline::{Job, Pipeline};
use crate::registry::Registry;

/// The scheduler. Runs until `stop` is true, then drains running attempts.
pub struct Worker {
    lease: Lease,
    parts: Arc<Parts>,
    inbox: mpsc::Receiver<Message>,
    sender: mpsc::Sender<Message>,
    lanes: Lanes,
    /// Deliveries that found no room in memory. They wait in the database.
    refused: Vec<DeliveryId>,
    cancelled: Cancelled,
    breaker: Breaker,
    actor: Actor,
    poll_at: Millis,
    polling: bool,
    /// The lease was regained during a poll: release what the poll claimed.
    distrusts_poll: bool,
    /// The clock was set back, and deliveries waiting in the database have not been moved yet.
    follows_clock: bool,
    /// The last reading of the clock.
    seen: Millis,
}

impl Worker {
    #[must_use]
    pub fn new(
        lease: Lease,
        pipeline: Arc<Pipeline>,
        registry: Arc<Registry>,
        live: Arc<Live>,
    ) -> (Worker, Dispatcher) {
        const INBOX_MAX: usize = 1_024;
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let lanes = Lanes::new(&pipeline.config.delivery);
        let cancelled = Cancelled::default();
        let occupancy = lanes.occupancy();
        let dispatcher = Dispatcher {
            inbox: sender.clone(),
            occupancy: occupancy.clone(),
            cancelled: cancelled.clone(),
        };
        let poll_at = pipeline.clock.now();
        let breaker = Breaker::new(&pipeline.config.delivery, poll_at);
        let parts =
            Arc::new(Parts { pipeline, registry, live, probes: Probes::default(), occupancy });
        let actor = Actor::start(parts.clone(), dispatcher.clone());
        let (polling, seen) = (false, poll_at);
        let worker = Worker {
            lease,
            parts,
            inbox,
            sender,
            lanes,
            refused: Vec::new(),
            cancelled,
            breaker,
            actor,
            poll_at,
            polling,
            distrusts_poll: false,
            follows_clock: false,
            seen,
        };
        (worker, dispatcher)
    }

    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        // Handle up to this many queued messages before starting new attempts.
        const TOGETHER_MAX: usize = 64;
        let mut messages = Vec::with_capacity(TOGETHER_MAX);
        while !*stop.borrow() {
            let (clock, wake_at) = (self.parts.pipeline.clock.clone(), self.wake_at());
            tokio::select! {
                // While messages are queued, the other branches are not polled and set no timer.
                biased;
                count = self.inbox.recv_many(&mut messages, TOGETHER_MAX) => {
                    if count == 0 {
                        break;
                    }
                    self.look_at_clock();
                    messages.drain(..).for_each(|message| self.handle(message));
                    let refused = std::mem::take(&mut self.refused);
                    self.spawn_release_of(refused, None, self.seen);
                }
                _ = stop.wait_for(|stop| *stop) => break,
                () = clock.sleep_until(wake_at) => {}
            }
            self.look_at_clock();
            if !self.polling && self.poll_at <= self.seen {
                self.poll();
            }
            self.start();
            self.probe();
        }
        self.drain().await;
    }

    /// When to run again without a message: at the next time of a lane, poll, probe or sync. Without the
    /// lease no attempt starts before `LeaseRegained`, so lanes are left out.
    fn wake_at(&self) -> Millis {
        let lanes = self.lanes.wake_at().filter(|_| self.lease.holds());
        let poll = Some(self.poll_at).filter(|_| !self.polling);
        [lanes, poll].into_iter().flatten().fold(self.breaker.wake_at(), Millis::min)
    }

    /// Detects that the clock was set back, and shifts all waiting times with it, in memory and in the
    /// database. Otherwise every wait would grow by that much.
    fn look_at_clock(&mut self) {
        let now = self.parts.pipeline.clock.now();
        let by_ms = self.seen.0 - now.0;
        self.seen = now;
        // Smaller steps are routine time synchronization.
        const SET_BACK_MS_MIN: i64 = 1_000;
        if by_ms < SET_BACK_MS_MIN {
            return;
        }
        tracing::warn!(by_ms, "the clock was set back; what waits moves with it");
        self.lanes.set_back(by_ms);
        self.breaker.set_back(by_ms);
        self.poll_at = now;
        // A running poll still uses the earlier reading, by which moved deliveries would be due: move them
        // after it.
        self.follows_clock = true;
        self.follow_clock();
    }

    fn follow_clock(&mut self) {
        if self.follows_clock && !self.polling {
            self.follows_clock = false;
            tokio::spawn(follow_clock_back(self.parts.pipeline.clone(), self.sender.clone()));
        }
    }

    /// Queues due probes to failing receivers and, periodically, a sync with what other nodes recorded about
    /// them.
    fn probe(&mut self) {
        let now = self.parts.pipeline.clock.now();
        for subject in self.breaker.due(now) {
            self.actor.ask(Task::HealthAction(subject, HealthAction::Probe));
        }
        if self.breaker.is_sync_due(now) {
            self.actor.ask(Task::Sync);
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Submit(jobs) => self.take(jobs),
            Message::Polled { jobs, due_at, bounded } => {
                self.polling = false;
                self.follow_clock();
                self.poll_at = self.poll_at.min(due_at.unwrap_or(self.poll_at));
                if std::mem::take(&mut self.distrusts_poll) {
                    self.spawn_release(jobs);
                    return;
                }
                self.take(jobs);
                self.lanes.may_have_more(&bounded);
            }
            Message::Done { ticket, subject, ended } => {
                let now = self.parts.pipeline.clock.now();
                for act in self.breaker.observe(&subject, ended.feedback, now) {
                    self.actor.ask(Task::HealthAction(subject.clone(), act));
                }
                if let Some(why) = ended.gone {
                    self.actor.ask(Task::HealthAction(subject, HealthAction::Gone { why }));
                }
                if let Some(given_back) = self.lanes.done(&ticket, now, ended.feedback) {
                    self.spawn_hand_back(given_back);
                }
                self.poll_at = self.poll_at.min(ended.due_at.unwrap_or(self.poll_at));
            }
            // Other nodes may own the waiting deliveries by now, and those of a running poll: release them
            // all and claim again.
            Message::LeaseRegained(asked_at) => {
                let waiting = self.lanes.clear();
                self.spawn_release(waiting);
                self.distrusts_poll = self.polling;
                self.lease.renewed(asked_at);
                self.poll_at = self.parts.pipeline.clock.now();
            }
            Message::Wake(at) => self.poll_at = self.poll_at.min(at),
            Message::Failing(rows) => {
                for (subject, act) in self.breaker.sync(rows, self.parts.pipeline.clock.now()) {
                    self.actor.ask(Task::HealthAction(subject, act));
                }
            }
            Message::NothingToProbe(id) => self.breaker.trust_once(id),
        }
    }

    fn take(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            let limits = self.limits(&job);
            let refused = self.lanes.push(job, limits);
            self.refused.extend(refused.map(|job| job.delivery_id));
        }
    }

    fn limits(&self, job: &Job) -> LaneLimits {
        let tenant_id = &job.event.key.tenant;
        let tenant = self.parts.registry.tenant(tenant_id);
        let own = LaneKey::Webhook(job.webhook_id);
        let known = tenant.and_then(|tenant| {
            let id = job.webhook_id;
            tenant.read(|state| Some((state.webhook(id)?.clone(), state.spec.weight())))
        });
        let Some((webhook, weight)) = known else {
            return LaneLimits { key: own, in_flight_max: 1, rate_per_s: None, weight: 1 };
        };
        let limits = &webhook.spec.limits;
        let share =
            limits.share.as_deref().map(|name| LaneKey::Share(tenant_id.clone(), name.into()));
        LaneLimits {
            key: share.unwrap_or(own),
            in_flight_max: webhook.plan.in_flight_max,
            rate_per_s: limits.rate_per_s,
            weight,
        }
    }

    fn start(&mut self) {
        // Without the lease, another node may take over a delivery before its attempt ends.
        if !self.lease.holds() {
            return;
        }
        let now = self.parts.pipeline.clock.now();
        while let Some((ticket, job)) = self.lanes.next(now) {
            let parts = self.parts.clone();
            let (sender, cancelled) = (self.sender.clone(), self.cancelled.clone());
            let (tenant, webhook_id) = (job.event.key.tenant.clone(), job.webhook_id);
            let subject = Subject { tenant, webhook_id };
            tokio::spawn(async move {
                let id = job.delivery_id;
                let ended = if cancelled.lock().remove(&id) {
                    let now = parts.pipeline.clock.now();
                    release(&parts.pipeline, vec![id], None, now).await;
                    Ended::default()
                } else {
                    // The future is large, and a task is moved before it starts.
                    Box::pin(run(&parts, job)).await
                };
                cancelled.lock().remove(&id);
                let _ = sender.send(Message::Done { ticket, subject, ended }).await;
            });
        }
        if self.lanes.take_freed() {
            self.poll_at = self.poll_at.min(now);
        }
    }

    /// Returns deliveries to the database as due.
    fn spawn_release(&self, jobs: Vec<Job>) {
        self.spawn_release_of(ids(&jobs), None, self.parts.pipeline.clock.now());
    }

    /// Returns deliveries to the database until their receiver's rest ends.
    fn spawn_hand_back(&self, given_back: GivenBack) {
        let GivenBack { jobs, due_at } = given_back;
        self.spawn_release_of(ids(&jobs), Some(reason::RECEIVER_BUSY), due_at);
    }

    fn spawn_release_of(&self, ids: Vec<DeliveryId>, reason: Option<&'static str>, due_at: Millis) {
        if ids.is_empty() {
            return;
        }
        let pipeline = self.parts.pipeline.clone();
        tokio::spawn(async move { release(&pipeline, ids, reason, due_at).await });
    }

    /// Releases waiting deliveries and waits for running attempts, for `server.drain_ms` at most.
    async fn drain(&mut self) {
        let now = self.parts.pipeline.clock.now();
        let waiting = ids(&self.lanes.clear());
        let pipeline = self.parts.pipeline.clone();
        let drain = Duration::from_millis(self.parts.pipeline.config.server.drain_ms);
        let ended = tokio::time::timeout(drain, async {
            release(&pipeline, waiting, None, now).await;
            while self.lanes.running() > 0 || self.polling {
                match self.inbox.recv().await {
                    Some(Message::Done { ticket, ended, .. }) => {
                        if let Some(given_back) = self.lanes.done(&ticket, now, ended.feedback) {
                            self.spawn_hand_back(given_back);
                        }
                    }
                    Some(Message::Polled { jobs, .. }) => {
                        self.polling = false;
                        self.spawn_release(jobs);
                    }
                    Some(Message::Submit(jobs)) => self.spawn_release(jobs),
                    Some(
                        Message::Wake(_)
                        | Message::LeaseRegained(_)
                        | Message::Failing(_)
                        | Message::NothingToProbe(_),
                    ) => {}
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

fn ids(jobs: &[Job]) -> Vec<DeliveryId> {
    jobs.iter().map(|job| job.delivery_id).collect()
}

/// Shifts waiting deliveries in the database with the clock, and repeats this for about a minute: work that
/// was running when the clock was set may still write times of the old clock.
async fn follow_clock_back(pipeline: Arc<Pipeline>, sender: mpsc::Sender<Message>) {
    let mut pauses_s = [1, 1, 2, 4, 8, 16, 32].into_iter();
    loop {
        let pause_s = match pipeline.store.queue.follow_clock_back(pipeline.clock.now()).await {
            Ok(moved) => {
                if moved > 0 {
                    // Fails only after shutdown.
                    let _ = sender.send(Message::Wake(Millis(0))).await;
                }
                let Some(pause_s) = pauses_s.next() else { return };
                pause_s
            }
            Err(error) => {
                tracing::warn!(%error, "what waits could not be moved with the clock yet");
                1
            }
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(pause_s)) => {}
            () = sender.closed() => return,
        }
    }
}
