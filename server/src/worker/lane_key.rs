//! Which lane a delivery belongs to, and the limits of that lane.

use std::sync::Arc;

use crate::model::{TenantId, WebhookId};

/// Identifies a lane: deliveries with the same key share its limits.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum LaneKey {
    Webhook(WebhookId),
    /// Webhooks of a tenant that name the same `limits.share`.
    Share(TenantId, Arc<str>),
}

/// Limits of a lane. If webhooks share a lane, the last one to queue a job sets them.
#[derive(Clone, Debug)]
pub(super) struct LaneLimits {
    pub(super) key: LaneKey,
    pub(super) in_flight_max: usize,
    pub(super) rate_per_s: Option<f64>,
    /// Turns of the tenant for each turn of a tenant with weight 1.
    pub(super) weight: u32,
}
