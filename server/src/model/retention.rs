//! How long events and their payloads are kept.

use serde::{Deserialize, Serialize};

/// What a tenant or an event type says of it; what it leaves out comes from above: the type's word
/// counts before the tenant's, that before the configuration's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionSpec {
    /// Seconds that an event is kept with its deliveries and attempts; 0 keeps it for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_s: Option<u64>,
    /// Seconds that its data, and the bodies that were sent and came back, are kept; 0 as long as
    /// the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payloads_s: Option<u64>,
}

impl RetentionSpec {
    /// `self`, with missing values taken from `below`.
    #[must_use]
    pub fn over(self, below: RetentionSpec) -> RetentionSpec {
        RetentionSpec {
            events_s: self.events_s.or(below.events_s),
            payloads_s: self.payloads_s.or(below.payloads_s),
        }
    }
}
