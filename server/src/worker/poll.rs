//! Polls the database for due deliveries.

use super::Worker;
use super::dispatcher::Message;
use crate::pipeline::Job;
use crate::store::{ClaimLimits, Claimed};

impl Worker {
    /// Claims as many due deliveries as there is room for, in a task of its own; the result arrives as a
    /// message.
    pub(super) fn poll(&mut self) {
        let config = &self.parts.pipeline.config.delivery;
        let now = self.parts.pipeline.clock.now();
        let poll_ms = i64::try_from(config.poll_ms).unwrap_or(i64::MAX);
        self.poll_at = now.plus_ms(poll_ms);
        if !self.lease.holds() {
            return;
        }
        let places = self.lanes.room_for_claims(config.claim_max);
        if places == 0 {
            return;
        }
        let limit = places.min(config.claim_max);
        self.polling = true;
        let (webhooks, tenants) = self.lanes.occupancy().full();
        let mut limits = ClaimLimits {
            webhooks,
            tenants,
            places,
            webhook_places: config.queue_per_webhook_max,
            at_most: self.lanes.room_below(limit),
            place_bytes: config.place_bytes(),
        };
        let (pipeline, sender) = (self.parts.pipeline.clone(), self.sender.clone());
        tokio::spawn(async move {
            let claimed =
                pipeline.store.queue.claim_due(now, &pipeline.owner, limit, &mut limits).await;
            let claimed = claimed.unwrap_or_else(|error| {
                tracing::warn!(%error, "due deliveries can't be read; trying again");
                Vec::new()
            });
            // A full batch or memory means that more may be due. Otherwise, due deliveries that were not claimed wait
            // for their lane or their order, and only those that become due later need an early poll.
            let due_at = if claimed.len() == limit || limits.places == 0 {
                Some(now)
            } else {
                pipeline.store.queue.next_due_after(now).await.unwrap_or_default()
            };
            let bounded = limits.filled().collect();
            let jobs = claimed.into_iter().map(job_of).collect();
            let _ = sender.send(Message::Polled { jobs, due_at, bounded }).await;
        });
    }
}

fn job_of(claimed: Claimed) -> Job {
    Job {
        delivery_id: claimed.delivery.id,
        webhook_id: claimed.delivery.webhook_id,
        event: claimed.event,
        ordered: claimed.delivery.order_key.is_some(),
        attempts: claimed.delivery.attempts,
        schedule_start: claimed.schedule_start,
        frozen: claimed.frozen,
    }
}
