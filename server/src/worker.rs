//! Takes deliveries that are due and attempts them: fair between webhooks, each webhook bounded.
//!
//! One scheduler task owns the lanes (one for each webhook that has something to do) and decides
//! what starts next, round-robin. Attempts are tasks of their own. What was just accepted comes
//! straight from memory; everything else is claimed from the database when it is due.

mod attempt;
mod breaker;
mod dispatcher;
mod fair_turns;
mod health_actions;
mod lane;
mod lane_key;
mod lanes;
mod lease;
mod poll;
mod queue_occupancy;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub use self::dispatcher::Dispatcher;
pub use self::lease::{Lease, keep_lease};

use self::attempt::{Ended, Parts, Probes, hand_back, release, run};
use self::breaker::{Breaker, HealthAction, Subject};
use self::dispatcher::{Cancelled, Message};
use self::health_actions::{Actor, Task};
use self::lane_key::{LaneKey, LaneLimits};
use self::lanes::{GivenBack, Lanes};
use crate::live::Live;
use crate::model::Millis;
use crate::pipeline::{Job, Pipeline};
use crate::registry::Registry;

/// The scheduler. Runs until `stop` says so, then lets attempts under way end.
pub struct Worker {
    lease: Lease,
    parts: Arc<Parts>,
    inbox: mpsc::Receiver<Message>,
    sender: mpsc::Sender<Message>,
    lanes: Lanes,
    cancelled: Cancelled,
    breaker: Breaker,
    actor: Actor,
    poll_at: Millis,
    polling: bool,
    /// The lease ran out while the database was asked.
    distrusts_poll: bool,
    /// The clock was set back, and what waits has not moved yet.
    follows_clock: bool,
    /// What the clock showed last.
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
        // Those that came together are taken in together, before anything starts.
        const TOGETHER_MAX: usize = 64;
        let mut messages = Vec::with_capacity(TOGETHER_MAX);
        while !*stop.borrow() {
            let (clock, wake_at) = (self.parts.pipeline.clock.clone(), self.wake_at());
            tokio::select! {
                // While messages come, nothing is set up to wait for the rest.
                biased;
                count = self.inbox.recv_many(&mut messages, TOGETHER_MAX) => {
                    if count == 0 {
                        break;
                    }
                    self.look_at_clock();
                    messages.drain(..).for_each(|message| self.handle(message));
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

    /// When to look again though nothing happened: something waited for its time. Without the
    /// lease nothing starts before the message that it is regained.
    fn wake_at(&self) -> Millis {
        let lanes = self.lanes.wake_at().filter(|_| self.lease.holds());
        let poll = Some(self.poll_at).filter(|_| !self.polling);
        [lanes, poll].into_iter().flatten().fold(self.breaker.wake_at(), Millis::min)
    }

    /// Where the clock was set back, what waits for a time by it would wait for that much longer: it moves
    /// with the clock, here and in the database.
    fn look_at_clock(&mut self) {
        let now = self.parts.pipeline.clock.now();
        let by_ms = self.seen.0 - now.0;
        self.seen = now;
        // Less is the daily work of whoever keeps clocks right.
        const SET_BACK_MS_MIN: i64 = 1_000;
        if by_ms < SET_BACK_MS_MIN {
            return;
        }
        tracing::warn!(by_ms, "the clock was set back; what waits moves with it");
        self.lanes.set_back(by_ms);
        self.breaker.set_back(by_ms);
        self.poll_at = now;
        // What is moved is due by the time that a poll under way has.
        self.follows_clock = true;
        self.follow_clock();
    }

    fn follow_clock(&mut self) {
        if self.follows_clock && !self.polling {
            self.follows_clock = false;
            tokio::spawn(follow_clock_back(self.parts.pipeline.clone(), self.sender.clone()));
        }
    }

    /// Sends probes to receivers that fail, and asks now and then what other nodes know of them.
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
                    jobs.into_iter().for_each(|job| self.spawn_release(job));
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
            // What waited may have other owners by now, and so may what is being claimed: it is given
            // back, and claimed anew.
            Message::LeaseRegained(asked_at) => {
                self.lanes.clear().into_iter().for_each(|job| self.spawn_release(job));
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
            if let Some(job) = self.lanes.push(job, limits) {
                // Beyond the bound it waits in the database.
                self.spawn_release(job);
            }
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
        // Others may take over what this node owns before an attempt would end.
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
                    release(&parts.pipeline, &job, parts.pipeline.clock.now()).await;
                    Ended::default()
                } else {
                    // It is large, and tasks are moved about before they start.
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

    fn spawn_release(&self, job: Job) {
        let pipeline = self.parts.pipeline.clone();
        tokio::spawn(async move {
            let now = pipeline.clock.now();
            release(&pipeline, &job, now).await;
        });
    }

    fn spawn_hand_back(&self, given_back: GivenBack) {
        let pipeline = self.parts.pipeline.clone();
        tokio::spawn(async move {
            let GivenBack { jobs, due_at } = given_back;
            let jobs = jobs.iter().map(|job| hand_back(&pipeline, job, due_at));
            futures_util::future::join_all(jobs).await;
        });
    }

    /// Gives back what waits and lets what runs end, within the drain time.
    async fn drain(&mut self) {
        let now = self.parts.pipeline.clock.now();
        let waiting = self.lanes.clear();
        let pipeline = self.parts.pipeline.clone();
        let releases = waiting.iter().map(|job| release(&pipeline, job, now));
        let drain = Duration::from_millis(self.parts.pipeline.config.server.drain_ms);
        let ended = tokio::time::timeout(drain, async {
            futures_util::future::join_all(releases).await;
            while self.lanes.running() > 0 || self.polling {
                match self.inbox.recv().await {
                    Some(Message::Done { ticket, ended, .. }) => {
                        if let Some(given_back) = self.lanes.done(&ticket, now, ended.feedback) {
                            self.spawn_hand_back(given_back);
                        }
                    }
                    Some(Message::Polled { jobs, .. }) => {
                        self.polling = false;
                        jobs.into_iter().for_each(|job| self.spawn_release(job));
                    }
                    Some(Message::Submit(jobs)) => {
                        jobs.into_iter().for_each(|job| self.spawn_release(job));
                    }
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

/// Moves what waits with the clock, and looks again for a while: what was under way when the clock was set may
/// be written by the time from before.
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
