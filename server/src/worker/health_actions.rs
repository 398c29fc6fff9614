//! Carries out the circuit breaker's actions on failing receivers: one after the other, in a task of its own,
//! so that a hold and a release can't overtake each other.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::attempt::Parts;
use super::dispatcher::{Dispatcher, Message};
use super::receiver_breaker::{HealthAction, Subject};
use crate::model::{Millis, WebhookId};
use crate::pipeline::Accepted;
use crate::pipeline::accept::operator_event::{self, OperatorEvent};
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;
use crate::registry::ChangeError;

/// Queued tasks at most; each failing webhook causes a few.
const WAITING_MAX: usize = 65_536;

pub(super) enum Task {
    HealthAction(Subject, HealthAction),
    /// Read from the database which webhooks fail on other nodes.
    Sync,
}

/// Handle that queues tasks for the actor.
#[derive(Clone)]
pub(super) struct Actor(mpsc::Sender<Task>);

impl Actor {
    /// Starts the actor's task, which ends when the last handle is dropped.
    pub(super) fn start(parts: Arc<Parts>, dispatcher: Dispatcher) -> Actor {
        let (sender, mut tasks) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            while let Some(task) = tasks.recv().await {
                let done = match task {
                    Task::HealthAction(subject, act) => {
                        carry_out(&parts, &dispatcher, &subject, act).await
                    }
                    Task::Sync => sync(&parts, &dispatcher).await,
                };
                if let Err(error) = done {
                    tracing::warn!(%error, "the state of a webhook that fails could not be changed");
                }
            }
        });
        Actor(sender)
    }

    pub(super) fn ask(&self, task: Task) {
        if self.0.try_send(task).is_err() {
            tracing::warn!(
                "too much is to be done about webhooks that fail; some of it is left out"
            );
        }
    }
}

async fn sync(parts: &Parts, dispatcher: &Dispatcher) -> Result<(), ChangeError> {
    let rows = parts.pipeline.store.queue.failing_webhooks().await?;
    metrics::gauge!("antar_webhooks_failing")
        .set(f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX)));
    // Fails only after shutdown.
    let _ = dispatcher.inbox.send(Message::Failing(rows)).await;
    Ok(())
}

async fn carry_out(
    parts: &Parts,
    dispatcher: &Dispatcher,
    subject: &Subject,
    act: HealthAction,
) -> Result<(), ChangeError> {
    let Parts { pipeline, registry, .. } = parts;
    let id = subject.webhook_id;
    let Some(tenant) = registry.tenant(&subject.tenant) else { return Ok(()) };
    let Some(webhook) = tenant.webhook(id) else { return Ok(()) };
    let store = &pipeline.store;
    match act {
        HealthAction::Note { since, probed } => {
            store.queue.note_failing(id, since, probed).await?;
            if probed {
                tracing::warn!(webhook = webhook.spec.name, tenant = %tenant.id, %since,
                    "nothing but failures: only probes are sent");
                registry.set_probed(&tenant, id, Some(since)).await?;
            }
        }
        HealthAction::Hold { since } => registry.set_probed(&tenant, id, Some(since)).await?,
        HealthAction::Recovered { probed } => {
            tracing::info!(webhook = webhook.spec.name, tenant = %tenant.id, "it works again");
            store.queue.note_working(id).await?;
            release(parts, dispatcher, &tenant, id, probed).await?;
        }
        HealthAction::Released => release(parts, dispatcher, &tenant, id, true).await?,
        HealthAction::Warn { since } => {
            if store.queue.note_told(id, pipeline.clock.now()).await? {
                tracing::warn!(webhook = webhook.spec.name, tenant = %tenant.id, %since,
                    "nothing but failures for half of delivery.disable_after_ms");
                publish(parts, dispatcher, &tenant, &webhook, OperatorEvent::Failing { since })
                    .await;
            }
        }
        HealthAction::Disable { since } => {
            let why = format!("nothing but failures since {since}");
            disable(parts, dispatcher, &tenant, &webhook, &why).await?;
        }
        HealthAction::Gone { why } => disable(parts, dispatcher, &tenant, &webhook, &why).await?,
        HealthAction::Probe => probe(parts, dispatcher, &tenant, id).await?,
    }
    Ok(())
}

/// Disables a webhook, and posts an operator event to its tenant.
async fn disable(
    parts: &Parts,
    dispatcher: &Dispatcher,
    tenant: &Arc<Tenant>,
    webhook: &Webhook,
    why: &str,
) -> Result<(), ChangeError> {
    tracing::warn!(webhook = webhook.spec.name, tenant = %tenant.id, why, "a webhook is disabled");
    metrics::counter!("antar_webhooks_disabled_total").increment(1);
    parts.registry.disable_webhook(tenant, webhook.id, why).await?;
    let event = OperatorEvent::Disabled { why: why.to_owned() };
    publish(parts, dispatcher, tenant, webhook, event).await;
    Ok(())
}

async fn release(
    parts: &Parts,
    dispatcher: &Dispatcher,
    tenant: &Arc<Tenant>,
    id: WebhookId,
    probed: bool,
) -> Result<(), ChangeError> {
    if probed {
        parts.registry.set_probed(tenant, id, None).await?;
        dispatcher.wake();
    }
    Ok(())
}

/// Releases one held delivery as a probe. If there is none, the next new delivery is the probe.
async fn probe(
    parts: &Parts,
    dispatcher: &Dispatcher,
    tenant: &Arc<Tenant>,
    id: WebhookId,
) -> Result<(), ChangeError> {
    parts.probes.lock().insert(id);
    if parts.pipeline.store.queue.release_one(id, parts.pipeline.clock.now()).await? {
        dispatcher.wake();
        return Ok(());
    }
    parts.probes.lock().remove(&id);
    // Fails only after shutdown.
    let _ = dispatcher.inbox.send(Message::NothingToProbe(id)).await;
    release(parts, dispatcher, tenant, id, true).await
}

/// Posts an operator event about a webhook to its tenant.
async fn publish(
    parts: &Parts,
    dispatcher: &Dispatcher,
    tenant: &Arc<Tenant>,
    webhook: &Webhook,
    event: OperatorEvent,
) {
    let pipeline = &parts.pipeline;
    let now = pipeline.clock.now();
    let after_ms = i64::try_from(pipeline.config.delivery.disable_after_ms).unwrap_or(i64::MAX);
    let disables_at = |since: Millis| since.plus_ms(after_ms);
    let Some(draft) = operator_event::draft(webhook, &event, now, disables_at) else { return };
    let has_room = |id| dispatcher.has_room(&tenant.id, id);
    match pipeline.accept(tenant, vec![Ok(draft)], None, has_room).await {
        Ok(Accepted::New { jobs, .. }) => {
            dispatcher.submit(jobs).await;
            dispatcher.wake();
        }
        Ok(Accepted::Before { .. }) => {}
        Err(error) => {
            tracing::warn!(%error, webhook = webhook.spec.name, "its tenant could not be told");
        }
    }
}
