//! Whoever owns webhooks.

use serde::{Deserialize, Serialize};

use super::IntakePlugin;

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
}
