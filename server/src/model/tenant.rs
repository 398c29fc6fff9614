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
    /// How long its events are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionSpec>,
}

impl TenantSpec {
    /// Bounds of `weight`.
    pub const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=100;

    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight.unwrap_or(1).clamp(*Self::WEIGHTS.start(), *Self::WEIGHTS.end())
    }
}
