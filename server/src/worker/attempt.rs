//! Runs one attempt: looks up the current configuration, sends, writes the record, and publishes the result
//! to live listeners.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;

use super::queue_occupancy::QueueOccupancy;
use crate::fault::{self, Point};
use crate::live_stream::{Live, Message};
use crate::model::{Delivery, DeliveryId, Millis, State, WebhookId, reason};
use crate::pipeline::attempt::backoff::Feedback;
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::{Job, Pipeline};
use crate::registry::Registry;
use crate::store::{Record, Recorded, StoreError};

/// Failing webhooks that may receive one probe.
pub(super) type Probes = Mutex<HashSet<WebhookId>>;

/// State shared by all attempts.
pub(super) struct Parts {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) registry: Arc<Registry>,
    pub(super) live: Arc<Live>,
    pub(super) probes: Probes,
    pub(super) occupancy: Arc<QueueOccupancy>,
}

/// Outcome of an attempt, for the scheduler.
#[derive(Clone, Default)]
pub(super) struct Ended {
    /// When the retry or the next delivery in order is due, if there is one.
    pub(super) due_at: Option<Millis>,
    /// About the receiver as a whole.
    pub(super) feedback: Feedback,
    /// Why the receiver is permanently gone, if it is.
    pub(super) gone: Option<String>,
}

impl From<Option<Millis>> for Ended {
    fn from(due_at: Option<Millis>) -> Ended {
        Ended { due_at, ..Ended::default() }
    }
}

/// Runs an attempt and catches panics, which must neither block the lane nor leave the delivery in flight
/// forever. Unwind safe: shared state is read-only or replaced as a whole.
pub(super) async fn run(parts: &Parts, job: Job) -> Ended {
    const AFTER_PANIC_MS: i64 = 60_000;
    let id = job.delivery_id;
    let pipeline = &*parts.pipeline;
    match AssertUnwindSafe(attempt(parts, job)).catch_unwind().await {
        Ok(ended) => ended,
        // The panic hook has logged the message.
        Err(_) => {
            tracing::error!(delivery_id = %id, "an attempt ended in a panic");
            let again_at = pipeline.clock.now().plus_ms(AFTER_PANIC_MS);
            write(pipeline, moved(pipeline, id, State::Pending, None, Some(again_at))).await;
            Some(again_at).into()
        }
    }
}

/// Returns deliveries to the database, without counting an attempt: they wait until `due_at`, for `reason`.
/// Tries again while the database is busy or unavailable.
pub(super) async fn release(
    pipeline: &Pipeline,
    ids: Vec<DeliveryId>,
    reason: Option<&'static str>,
    due_at: Millis,
) {
    let (queue, owner) = (&pipeline.store.queue, &pipeline.owner);
    let released =
        until_written(|| queue.release(&ids, owner, reason, due_at, pipeline.clock.now()));
    if let Err(error) = released.await {
        tracing::error!(%error, count = ids.len(), "deliveries could not be released");
    }
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
        stage: None,
        next_attempt_at,
        ordered: false,
        can_wait: false,
        now: pipeline.clock.now(),
    }
}

/// Makes one attempt and records it.
async fn attempt(parts: &Parts, job: Job) -> Ended {
    let (pipeline, registry) = (&*parts.pipeline, &*parts.registry);
    let tenant_id = &job.event.key.tenant;
    let tenant = registry.tenant(tenant_id);
    let webhook = tenant.as_ref().and_then(|tenant| tenant.webhook(job.webhook_id));
    let (Some(tenant), Some(webhook)) = (tenant, webhook) else {
        return unknown(pipeline, &job).await.into();
    };
    let held = webhook.hold_reason();
    let probes = held == Some(reason::WEBHOOK_FAILING) && parts.probes.lock().remove(&webhook.id);
    if let Some(held) = held.filter(|_| !probes) {
        write(pipeline, moved(pipeline, job.delivery_id, State::Pending, Some(held), None)).await;
        return release_if_open(pipeline, &tenant, job.webhook_id).await.into();
    }
    // Held until the request is recorded.
    let mut held = pipeline.requests.of(tenant_id);
    let mut attempted = pipeline.attempt(&tenant, &webhook, &job, &mut held).await;
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
    record.can_wait = !record.ordered && !parts.occupancy.has_waiting();
    log(&webhook.spec.name, &job, record);
    let (due_at, held) = (record.next_attempt_at, record.to == State::Pending);
    let nothing_due = due_at.is_none();
    let live = &*parts.live;
    let told = live
        .is_wanted(tenant.generation, job.webhook_id, &job.event.event_type)
        .then(|| message(&webhook.spec.name, &job, record, live.body_bytes_max()));
    let recorded = write(pipeline, attempted.record).await;
    // Nobody is told of a delivery that was deleted meanwhile.
    let state = recorded.and_then(|recorded| recorded.state);
    if let (Some(mut message), Some(state)) = (told, state) {
        message.delivery.state = state;
        live.publish(tenant.generation, message);
    }
    if held && !nothing_due {
        hold_if_closed(pipeline, &tenant, job.webhook_id).await;
    }
    let feedback = attempted.feedback;
    // The next delivery in order may be due now.
    let due_at = if job.ordered { Some(pipeline.clock.now()) } else { due_at };
    if held && nothing_due {
        let due_at = release_if_open(pipeline, &tenant, job.webhook_id).await;
        return Ended { due_at, feedback, gone: None };
    }
    let current = tenant.webhook(job.webhook_id).map(|webhook| webhook.revision);
    let gone = attempted.disable.filter(|_| current == Some(webhook.revision));
    Ended { due_at, feedback, gone }
}

/// Handles a delivery whose webhook is not in memory: cancels it if the webhook was deleted; otherwise
/// another node created the webhook since this one started, and the delivery is left to that node.
async fn unknown(pipeline: &Pipeline, job: &Job) -> Option<Millis> {
    const FOR_ANOTHER_NODE_MS: i64 = 5_000;
    let stored = pipeline.store.configuration.webhook(job.webhook_id).await;
    let deleted = stored.is_ok_and(|stored| stored.is_none());
    let (to, reason, at) = if deleted {
        (State::Cancelled, Some(reason::WEBHOOK_DELETED), None)
    } else {
        (State::Pending, None, Some(pipeline.clock.now().plus_ms(FOR_ANOTHER_NODE_MS)))
    };
    write(pipeline, moved(pipeline, job.delivery_id, to, reason, at)).await;
    at
}

/// Holds a delivery that was just written as due if the webhook was closed meanwhile: its other deliveries
/// were held before this one was written.
async fn hold_if_closed(pipeline: &Pipeline, tenant: &Tenant, id: WebhookId) {
    let Some(why) = tenant.webhook(id).and_then(|webhook| webhook.hold_reason()) else { return };
    if let Err(error) = pipeline.store.queue.hold_webhook(id, why, pipeline.clock.now()).await {
        // The webhook is checked again when the delivery is due.
        tracing::warn!(%error, "a delivery of a closed webhook could not be held yet");
    }
}

/// Releases held deliveries if the webhook was opened meanwhile, and returns when they are due.
async fn release_if_open(pipeline: &Pipeline, tenant: &Tenant, id: WebhookId) -> Option<Millis> {
    match pipeline.release_if_open(tenant, id).await {
        Ok(released) => released.then(|| pipeline.clock.now()),
        Err(error) => {
            tracing::warn!(%error, "held deliveries could not be released");
            None
        }
    }
}

/// The message to live listeners about an attempt.
fn message(webhook: &str, job: &Job, record: &Record, body_bytes_max: usize) -> Message {
    let event = &job.event;
    let delivery = Delivery {
        id: job.delivery_id,
        event: event.key.clone(),
        webhook_id: job.webhook_id,
        state: record.to,
        reason: record.reason.clone(),
        stage: record.stage.map(|stage| stage.as_str().to_owned()),
        attempts: record.attempt.as_ref().map_or(job.attempts, |attempt| attempt.number),
        next_attempt_at: record.next_attempt_at,
        created_at: record.now,
        subject: event.subject().map(ToOwned::to_owned),
        order_key: None,
    };
    let (event_type, webhook) = (event.event_type.clone(), webhook.to_owned());
    Message::new(delivery, event_type, webhook, record.attempt.as_ref(), body_bytes_max)
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

/// Writes a record. If a crash loses it, the delivery is sent again with the same id. None: the record could
/// not be written at all.
async fn write(pipeline: &Pipeline, record: Record) -> Option<Recorded> {
    let record = Arc::new(record);
    let recorded = until_written(|| pipeline.store.writer.record(Arc::clone(&record)));
    let recorded = recorded.await.inspect_err(|error| {
        tracing::error!(%error, delivery_id = %record.delivery_id, "an attempt could not be recorded");
    });
    recorded.ok()
}

/// Repeats a write while the database is busy or unavailable.
async fn until_written<T, F>(write: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    const WAIT_MS_MAX: u64 = 5_000;
    let mut wait_ms = 50;
    fault::pass(Point::RecordBefore).await;
    loop {
        match write().await {
            Ok(written) => {
                fault::pass(Point::RecordAfter).await;
                return Ok(written);
            }
            Err(StoreError::Busy | StoreError::Unavailable(_)) => {
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                wait_ms = (wait_ms * 2).min(WAIT_MS_MAX);
            }
            Err(error) => return Err(error),
        }
    }
}
