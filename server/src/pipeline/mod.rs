//! The event pipeline: everything that happens to an event, from intake to the record of an attempt:
//!
//! ```text
//! accept:   intake ─▶ (intake plugins) ─▶ schema ─▶ route ─▶ commit
//! attempt:  transform ─▶ render ─▶ prepare (secrets, sign) ─▶ deliver ─▶ retry? ─▶ record
//! ```
//!
//! Each stage is a module of its own and maps values to values. Only this file (database), the intake
//! plugins and `transform` (plugin calls) and `deliver` (one HTTP request) await anything.

pub mod accept;
pub mod attempt;
pub mod client;
pub mod compiled;
pub mod inspect;
mod large_work;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use antar_json::Steps;

pub use self::accept::answers::{Answer, AnswerOnce, OnceRequest};
use self::accept::answers::{Made, answers};
use self::accept::new_deliveries::{Target, held_in, jobs_of, new_delivery, waits_until};
pub use self::accept::new_deliveries::{replayed_delivery, undecided_delivery};
pub use self::attempt::job::Job;
pub use self::attempt::outcome::Attempted;

use self::accept::batch::Batch;
use self::accept::intake::Draft;
use self::accept::intake_plugins;
use self::accept::learn_facets::Learned;
use self::accept::loops::{self, Loops};
use self::accept::route::Route;
use self::attempt::no_request::NoRequest;
use self::attempt::outcome::{Observed, Outcome};
use self::attempt::prepare::Prepared;
use self::attempt::receiver_hints::ReceiverHints;
use self::attempt::render::RenderInput;
use self::attempt::request_memory::HeldRequest;
pub use self::attempt::request_memory::RequestMemory;
use self::attempt::size;
use self::attempt::success::check_success;
use self::attempt::transform::{self, TransformEnd};
use self::client::send::{SendError, Sender};
use self::compiled::tenant::Tenant;
use self::compiled::webhook::Webhook;
use crate::clock::Clock;
use crate::config::Config;
use crate::fault::{self, Point};
use crate::model::{Attempt, Event, Frozen, Invalid, Millis, Stage, State, WebhookId};
use crate::plugin::Host;
use crate::store::{AcceptedOnce, NewDelivery, NewEvent, Owner, Store, StoreError};
use crate::work_pool::{NotDone, WorkPool};

/// Shared dependencies of the stages.
pub struct Pipeline {
    pub config: Arc<Config>,
    pub clock: Clock,
    pub host: Arc<Host>,
    pub store: Store,
    pub sender: Sender,
    /// Does what would keep other tenants waiting.
    pub work: WorkPool,
    /// Identifies this run of this node as the owner of deliveries.
    pub owner: Owner,
    pub loops: Loops,
    pub requests: RequestMemory,
}

/// Result of accepting a request.
pub enum Accepted {
    /// `answers` are in the order of the drafts, `jobs` the deliveries to start at once, `held` the
    /// webhooks with held deliveries, and `learned` the new facet values. `due_at` is the earliest due
    /// time of the deliveries that their webhook delays, orders or deduplicates.
    New {
        answers: Vec<Answer>,
        jobs: Vec<Job>,
        held: HashSet<WebhookId>,
        learned: Vec<Learned>,
        due_at: Option<Millis>,
    },
    /// The `Idempotency-Key` was used before; `same` is true if the request is identical, too.
    Before { same: bool, status: u16, body: String },
}

/// Why a request was not accepted; applies to all of its events.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("an intake plugin could not be run: {0}")]
    Plugin(String),
    #[error(transparent)]
    Work(#[from] NotDone),
}

impl Pipeline {
    /// Validates, routes and commits the drafts. Returns once everything accepted is durable.
    /// `starts_now` reports whether a delivery of the webhook has room to start from memory.
    pub async fn accept(
        &self,
        tenant: &Arc<Tenant>,
        drafts: Vec<Result<Draft, Invalid>>,
        once: Option<OnceRequest>,
        starts_now: impl Fn(WebhookId) -> bool,
    ) -> Result<Accepted, AcceptError> {
        let now = self.clock.now();
        let mut batch = Batch::default();
        let steps = Steps::new(self.config.work.steps_at_once_max);
        let mut made = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let one = match draft {
                Ok(draft) => self.make(tenant, draft, now, &steps, &mut batch, &starts_now).await?,
                Err(invalid) => Err(invalid),
            };
            made.push(one);
        }
        let output_bytes_max = self.config.templates.output_bytes_max.max(1);
        let few = self.config.intake.fanout_bytes_max / output_bytes_max;
        let (batch, learned) = batch.complete(few);
        let jobs_of = batch.iter().map(jobs_of).collect::<Vec<_>>();
        let held = batch.iter().flat_map(held_in).collect();
        let due_at = batch.iter().filter_map(waits_until).min();
        let made = Arc::new(made);
        let stored = match (batch.is_empty(), once) {
            (true, _) => Vec::new(),
            (false, None) => self.store.writer.accept(batch).await?,
            (false, Some(once)) => {
                let once = once.stored(tenant.id.clone(), made.clone(), now);
                let request_hash = once.request_hash.clone();
                match self.store.writer.accept_once(batch, once).await? {
                    AcceptedOnce::New(stored) => stored,
                    AcceptedOnce::Before(before) => {
                        let same = before.request_hash == request_hash;
                        return Ok(Accepted::Before {
                            same,
                            status: before.status,
                            body: before.body,
                        });
                    }
                }
            }
        };
        fault::reach(Point::AcceptAnswerBefore).await.map_err(StoreError::from)?;
        let mut jobs = Vec::new();
        for (accepted, mut its_jobs) in stored.iter().zip(jobs_of) {
            if !accepted.duplicate {
                jobs.append(&mut its_jobs);
            }
        }
        Ok(Accepted::New { answers: answers(&made, &stored), jobs, held, learned, due_at })
    }

    /// Runs one draft through intake plugins, schema check and routing. All drafts of a request share the
    /// `steps` that they may take at once.
    async fn make(
        &self,
        tenant: &Arc<Tenant>,
        draft: Draft,
        now: Millis,
        steps: &Steps,
        batch: &mut Batch,
        starts_now: &impl Fn(WebhookId) -> bool,
    ) -> Result<Result<Made, Invalid>, AcceptError> {
        let event = draft.event(tenant.id.clone(), now);
        let id = event.key.id.clone();
        let first = batch.events.len();
        if let Some(reason) = loops::too_long(&event, &self.config.loops) {
            self.loops.ended(tenant, &event, &reason, now);
            batch.push(self.stored(event, Vec::new(), Some(reason), now));
            return Ok(Ok(Made { id, events: first..batch.events.len() }));
        }
        let events = match intake_plugins::run(&self.host, tenant, event, &self.config.intake).await
        {
            Ok(events) => events,
            Err(intake_plugins::Stopped::Dropped { event, reason }) => {
                batch.push(self.stored(*event, Vec::new(), Some(reason), now));
                return Ok(Ok(Made { id, events: first..batch.events.len() }));
            }
            Err(intake_plugins::Stopped::Reject(reason)) => {
                return Err(AcceptError::Plugin(reason));
            }
            Err(intake_plugins::Stopped::Invalid(invalid)) => return Ok(Err(invalid)),
        };
        if let Err(invalid) = batch.has_room(&events, &self.config.intake) {
            return Ok(Err(invalid));
        }
        for event in events {
            let (mut event, route) = self.route(tenant, event, now, steps).await?;
            let Route { schema_ok, targets, learned } = match route {
                Ok(route) => route,
                Err(invalid) => {
                    batch.take_back(first);
                    return Ok(Err(invalid));
                }
            };
            event.schema_ok = schema_ok;
            if let Some(invalid) = batch.refusal(&event, targets.len(), &self.config.intake) {
                batch.take_back(first);
                return Ok(Err(invalid));
            }
            if let Some(reason) = self.loops.too_wide(&event, targets.len(), &self.config.loops) {
                self.loops.ended(tenant, &event, &reason, now);
                batch.push(self.stored(event, Vec::new(), Some(reason), now));
                continue;
            }
            let webhooks = targets.iter().map(Target::webhook);
            self.loops.note_going_home(tenant, &event, webhooks, now);
            batch.learned.extend(learned);
            let targets = targets.into_iter();
            let deliveries = targets.map(|target| new_delivery(target, now, starts_now)).collect();
            batch.push(self.stored(event, deliveries, None, now));
        }
        Ok(Ok(Made { id, events: first..batch.events.len() }))
    }

    fn stored(
        &self,
        event: Event,
        deliveries: Vec<NewDelivery>,
        dropped_reason: Option<String>,
        accepted_at: Millis,
    ) -> NewEvent {
        let owner = self.owner.clone();
        NewEvent { event: Arc::new(event), deliveries, dropped_reason, accepted_at, owner }
    }

    /// Releases held deliveries if their webhook stopped holding them while they were being written.
    /// Returns whether any were released.
    pub async fn release_if_open(
        &self,
        tenant: &Tenant,
        id: WebhookId,
    ) -> Result<bool, StoreError> {
        let open = tenant.webhook(id).is_some_and(|webhook| webhook.hold_reason().is_none());
        Ok(open && self.store.queue.release_webhook(id, self.clock.now()).await? > 0)
    }

    /// Makes one attempt of a delivery, from the plugins (or the frozen request) to the record to store. `held` counts
    /// its memory.
    pub(crate) async fn attempt(
        &self,
        tenant: &Arc<Tenant>,
        webhook: &Arc<Webhook>,
        job: &Job,
        held: &mut HeldRequest<'_>,
    ) -> Attempted {
        let (started_at, began) = (self.clock.now(), Instant::now());
        let mut attempt = Attempt {
            number: job.attempts + 1,
            revision: webhook.revision,
            started_at,
            took_ms: 0,
            request: None,
            response: None,
            error: None,
            unresolved: Vec::new(),
        };
        let (frozen, prepared) = match self.request(tenant, webhook, job, held).await {
            Ok(request) => request,
            Err(NoRequest::Dropped(reason)) => {
                let dropped = self.outcome(job).ended(None, None, State::Dropped, Some(reason));
                return dropped.at(Stage::Transform);
            }
            Err(NoRequest::Failed(reason)) => {
                attempt.took_ms = took_ms(began);
                attempt.error = Some(reason.clone());
                let failed =
                    self.outcome(job).ended(Some(attempt), None, State::Failed, Some(reason));
                return failed.at(Stage::Transform);
            }
            Err(NoRequest::Held { why, retry_in_ms, .. }) => {
                let why = Some(why.to_owned());
                let mut held = self.outcome(job).ended(None, None, State::Pending, why);
                let wait_ms = i64::try_from(retry_in_ms).unwrap_or(i64::MAX);
                held.record.next_attempt_at = Some(held.record.now.plus_ms(wait_ms));
                return held.at(Stage::Transform);
            }
            Err(NoRequest::Retry { stage, error, unresolved }) => {
                attempt.took_ms = took_ms(began);
                attempt.unresolved = unresolved;
                return self.decide(webhook, job, Observed::not_sent(attempt, error)).at(stage);
            }
        };
        attempt.unresolved.clone_from(&frozen.unresolved);
        fault::pass(Point::SendBefore).await;
        let sent = self.sender.send(&prepared.outgoing).await;
        fault::pass(Point::SendAfter).await;
        attempt.took_ms = took_ms(began);
        let answer = sent.answer().map_err(ToString::to_string);
        let (verdict, error) = check_success(webhook, answer, self.config.work.steps_at_once_max);
        let error = prepared.mask_text(error.unwrap_or_default());
        if let Some(SendError::Request(_)) = sent.error {
            // Nothing was sent, so nothing is frozen: the next attempt renders the request anew
            // from the configuration at that time.
            let seen = Observed::not_sent(attempt, error);
            return self.decide(webhook, job, seen);
        }
        let now = self.clock.now();
        let hints = sent
            .answer()
            .map_or_else(|_| ReceiverHints::default(), |answer| ReceiverHints::of(answer, now));
        attempt.response = sent.response.map(|response| prepared.mask(response));
        attempt.request = Some(prepared.sent());
        // Only the first request that reaches sending is stored as the frozen request.
        let frozen = job.frozen.is_none().then_some(frozen);
        self.decide(webhook, job, Observed { attempt, frozen, verdict, hints, error })
    }

    fn outcome<'a>(&'a self, job: &'a Job) -> Outcome<'a> {
        let max = self.config.delivery.retry_after_ms_max;
        Outcome {
            owner: &self.owner,
            job,
            now: self.clock.now(),
            retry_after_ms_max: i64::try_from(max).unwrap_or(i64::MAX),
        }
    }

    fn decide(&self, webhook: &Webhook, job: &Job, observed: Observed) -> Attempted {
        self.outcome(job).decide(webhook, observed, spread)
    }

    /// The request of an attempt, frozen before or made now, with its secrets and signatures.
    async fn request(
        &self,
        tenant: &Arc<Tenant>,
        webhook: &Arc<Webhook>,
        job: &Job,
        held: &mut HeldRequest<'_>,
    ) -> Result<(Frozen, Prepared), NoRequest> {
        let frozen = match &job.frozen {
            Some(stored) => {
                held.add(stored.bytes_of_event(&job.event))?;
                let whole = stored.of_event(&job.event).await;
                whole.map_err(|error| NoRequest::retry(Stage::Deliver, error.to_string()))?
            }
            None => self.make_request(tenant, render_input(webhook, job), job, held).await?,
        };
        let (frozen, prepared) =
            self.prepare(tenant, webhook, job, frozen, job.attempts + 1).await?;
        match prepared {
            Ok(prepared) => Ok((frozen, prepared)),
            Err(error) => {
                let unresolved = frozen.unresolved;
                Err(NoRequest::Retry { stage: Stage::Sign, error, unresolved })
            }
        }
    }

    pub(crate) async fn make_request(
        &self,
        tenant: &Tenant,
        input: RenderInput<'_>,
        job: &Job,
        held: &mut HeldRequest<'_>,
    ) -> Result<Frozen, NoRequest> {
        let (host, webhook) = (&self.host, input.webhook);
        let ended = transform::transform(host, tenant, webhook, &job.event, |_| {}).await;
        let transformed = match ended {
            TransformEnd::Go(transformed) => transformed,
            TransformEnd::Drop(reason) => return Err(NoRequest::Dropped(reason)),
            TransformEnd::Fail(reason) => return Err(NoRequest::Failed(reason)),
            TransformEnd::Retry(error) => return Err(NoRequest::retry(Stage::Transform, error)),
            TransformEnd::Hold { why, reason, retry_in_ms } => {
                return Err(NoRequest::Held { why, error: reason, retry_in_ms });
            }
        };
        held.add(transformed.data.as_ref().map_or(0, |data| data.text().len()))?;
        let rendered = self.render(input, &job.event, transformed).await??;
        let bytes = size::bytes_of(&rendered, tenant);
        size::check(bytes, &job.event, self.config.intake.fanout_bytes_max)?;
        held.add(bytes)?;
        Ok(rendered)
    }
}

fn render_input<'a>(webhook: &'a Webhook, job: &'a Job) -> RenderInput<'a> {
    RenderInput { webhook, event: &job.event, delivery_id: job.delivery_id, test: false }
}

fn took_ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A random number from 0 to 1 for jitter; 0.5, which means no jitter, if the system has no randomness.
fn spread() -> f64 {
    let random = crate::seal::random::<4>();
    random.map_or(0.5, |bytes| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}
