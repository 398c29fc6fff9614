//! Tenants: the owners of webhooks, and their settings.

use serde::{Deserialize, Serialize};

use super::{IntakePlugin, RetentionSpec};

/// The tenant that exists from the start.
pub const DEFAULT_TENANT: &str = "default";

/// A tenant's own settings.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantSpec {
    /// Default profile of its webhooks, sources and intake checks; left out: `standard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Run once per event before anything is routed or stored.
    #[serde(default)]
    pub intake_plugins: Vec<IntakePlugin>,
    /// Turns that its deliveries have where those of another tenant have one, 1 to 100; left out: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// How long its events are kept. The tenant's own keys may shorten it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionSpec>,
    /// The longest `retention` that the tenant's own keys may set, also for its event types; left out: the
    /// operator's `retention`. What neither says is as in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_max: Option<RetentionSpec>,
}

impl TenantSpec {
    /// Bounds of `weight`.
    pub const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=100;

    /// The longest retention that the tenant itself may set; what it leaves out is the configuration's.
    #[must_use]
    pub fn retention_max(&self) -> RetentionSpec {
        self.retention_max.or(self.retention).unwrap_or_default()
    }

    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight.unwrap_or(1).clamp(*Self::WEIGHTS.start(), *Self::WEIGHTS.end())
    }
}
