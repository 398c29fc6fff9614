//! A delivery as work for this node.

use std::sync::Arc;

use crate::model::{DeliveryId, Event, Frozen, WebhookId};

/// A delivery that this node owns.
#[derive(Clone)]
pub struct Job {
    pub delivery_id: DeliveryId,
    pub webhook_id: WebhookId,
    pub event: Arc<Event>,
    /// Attempts made so far.
    pub attempts: u32,
    /// Those of them that the schedule does not count: it was begun anew by hand after them.
    pub schedule_start: u32,
    pub frozen: Option<Frozen>,
    /// Others with its key may wait for it.
    pub ordered: bool,
}

impl Job {
    /// The first attempt of a new delivery.
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
