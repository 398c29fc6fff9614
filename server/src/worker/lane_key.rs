//! Which lane a delivery belongs to, and the bounds of that lane.

use std::sync::Arc;

use crate::model::{TenantId, WebhookId};

/// What counts together.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum LaneKey {
    Webhook(WebhookId),
    /// Webhooks of a tenant that name the same `limits.share`.
    Share(TenantId, Arc<str>),
}

/// The bounds of a lane. Of webhooks that share one, the last to queue something decides.
#[derive(Clone, Debug)]
pub(super) struct LaneLimits {
    pub(super) key: LaneKey,
    pub(super) in_flight_max: usize,
    pub(super) rate_per_s: Option<f64>,
    /// Turns of the tenant beside one of a tenant with 1.
    pub(super) weight: u32,
}
