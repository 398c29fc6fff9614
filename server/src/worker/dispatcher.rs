//! The way to the scheduler: work that starts from memory, wishes to cancel, and reasons to look again.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::attempt::Ended;
use super::breaker::Subject;
use super::queue_occupancy::QueueOccupancy;
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

/// Deliveries in flight that shall be cancelled: those that still wait for their turn in memory
/// are not sent any more.
pub(super) type Cancelled = Arc<Mutex<HashSet<DeliveryId>>>;

/// What the scheduler is told.
pub(super) enum Message {
    Submit(Vec<Job>),
    /// What a poll found; when the next one has something to find; webhooks that it found as many for
    /// as there was room for.
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
    /// What the database knows of webhooks that fail.
    Failing(Vec<FailingWebhook>),
    /// No delivery waits that this webhook could be probed with.
    NothingToProbe(WebhookId),
    /// Something is due then that no poll has seen.
    Wake(Millis),
    /// This node's lease had run out, and was renewed at a moment not before this.
    LeaseRegained(Instant),
}

impl Dispatcher {
    /// Whether a delivery to this webhook would find room in memory.
    #[must_use]
    pub fn has_room(&self, tenant: &TenantId, webhook_id: WebhookId) -> bool {
        self.occupancy.has_room(tenant, webhook_id)
    }

    /// Until when nothing is sent to this webhook from here, because its receiver said that it is
    /// too much.
    #[must_use]
    pub fn rests_until(&self, webhook_id: WebhookId) -> Option<Millis> {
        self.occupancy.rests_until(webhook_id)
    }

    /// Starts deliveries that this node owns. Waits while the inbox is full.
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
        self.wake_at(Millis(0));
    }

    /// Looks for due deliveries then, or before.
    pub fn wake_at(&self, at: Millis) {
        // A full inbox is looked at anyway.
        let _ = self.inbox.try_send(Message::Wake(at));
    }
}
