//! The scheduler's inbox: jobs submitted from memory, cancellations, and wake-ups.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::attempt::Ended;
use super::queue_occupancy::QueueOccupancy;
use super::receiver_breaker::Subject;
use super::slots::Ticket;
use crate::model::{DeliveryId, Millis, TenantId, WebhookId};
use crate::pipeline::Job;
use crate::store::FailingWebhook;

/// Hands work to the scheduler.
#[derive(Clone)]
pub struct Dispatcher {
    pub(super) inbox: mpsc::Sender<Message>,
    pub(super) occupancy: Arc<QueueOccupancy>,
    pub(super) cancelled: Cancelled,
}

/// In-flight deliveries to cancel: those still queued in memory are not sent.
pub(super) type Cancelled = Arc<Mutex<HashSet<DeliveryId>>>;

/// A message to the scheduler.
pub(super) enum Message {
    Submit(Vec<Job>),
    /// Result of a poll: the claimed jobs, when the next delivery is due, and webhooks whose room it filled
    /// (the database may hold more for them).
    Polled {
        jobs: Vec<Job>,
        due_at: Option<Millis>,
        bounded: HashSet<WebhookId>,
    },
    Done {
        ticket: Ticket,
        subject: Subject,
        ended: Ended,
    },
    /// Failing webhooks as recorded in the database.
    Failing(Vec<FailingWebhook>),
    /// No held delivery is left to probe this webhook with.
    NothingToProbe(WebhookId),
    /// A delivery that no poll has seen is due at this time.
    Wake(Millis),
    /// This node's lease had expired and was renewed, not before this instant.
    LeaseRegained(Instant),
}

impl Dispatcher {
    /// Whether memory has room for a delivery to this webhook.
    #[must_use]
    pub fn has_room(&self, tenant: &TenantId, webhook_id: WebhookId) -> bool {
        self.occupancy.has_room(tenant, webhook_id)
    }

    /// Until when this node sends nothing to this webhook, because its receiver reported overload (429 or
    /// 503).
    #[must_use]
    pub fn rests_until(&self, webhook_id: WebhookId) -> Option<Millis> {
        self.occupancy.rests_until(webhook_id)
    }

    /// Submits deliveries that this node owns. Waits while the inbox is full.
    pub async fn submit(&self, jobs: Vec<Job>) {
        if !jobs.is_empty() {
            // Fails only after shutdown; then the next start takes the deliveries over.
            let _ = self.inbox.send(Message::Submit(jobs)).await;
        }
    }

    pub(super) async fn lease_regained(&self, asked_at: Instant) {
        // Fails only after shutdown.
        let _ = self.inbox.send(Message::LeaseRegained(asked_at)).await;
    }

    /// Cancels an in-flight delivery that the store has already marked as cancelled.
    pub fn cancel(&self, id: DeliveryId) {
        // Beyond this limit, a cancellation takes effect only when the attempt has ended.
        const CANCELLED_MAX: usize = 10_000;
        let mut cancelled = self.cancelled.lock();
        if cancelled.len() < CANCELLED_MAX {
            cancelled.insert(id);
        }
    }

    /// Polls for due deliveries now instead of at the next regular time.
    pub fn wake(&self) {
        self.wake_at(Millis(0));
    }

    /// Polls for due deliveries at this time, or before.
    pub fn wake_at(&self, at: Millis) {
        // Dropped if the inbox is full; the next regular poll finds the delivery.
        let _ = self.inbox.try_send(Message::Wake(at));
    }
}
