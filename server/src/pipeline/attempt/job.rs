//! A delivery as a unit of work for this node.

use std::sync::Arc;

use crate::model::{DeliveryId, Event, WebhookId};
use crate::store::StoredRequest;

/// A delivery that this node owns.
#[derive(Clone)]
pub struct Job {
    pub delivery_id: DeliveryId,
    pub webhook_id: WebhookId,
    pub event: Arc<Event>,
    /// Attempts made so far.
    pub attempts: u32,
    /// Attempts that the retry schedule does not count, because a manual retry restarted it after them.
    pub schedule_start: u32,
    /// The request that it sends, if an attempt sent one before.
    pub frozen: Option<StoredRequest>,
    /// Other deliveries with the same order key may wait for it.
    pub ordered: bool,
}

impl Job {
    /// Bytes that it keeps in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let frozen = self.frozen.as_ref().map_or(0, StoredRequest::bytes);
        self.event.document.text().len().saturating_add(frozen)
    }

    /// The job for the first attempt of a new delivery.
    #[must_use]
    pub fn first(delivery_id: DeliveryId, webhook_id: WebhookId, event: Arc<Event>) -> Job {
        Job {
            delivery_id,
            webhook_id,
            event,
            attempts: 0,
            schedule_start: 0,
            frozen: None,
            ordered: false,
        }
    }
}
