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
    /// The first member that keeps longer than `most` permits, with what that permits, in seconds. In both, 0
    /// is the longest.
    #[must_use]
    pub fn beyond(self, most: RetentionSpec) -> Option<(&'static str, u64)> {
        let longest = |seconds: u64| if seconds == 0 { u64::MAX } else { seconds };
        let members = [
            ("events_s", self.events_s, most.events_s),
            ("payloads_s", self.payloads_s, most.payloads_s),
        ];
        members.into_iter().find_map(|(name, own, most)| {
            let (own, most) = (own?, most?);
            (longest(own) > longest(most)).then_some((name, most))
        })
    }

    /// `self`, with missing values taken from `below`.
    #[must_use]
    pub fn over(self, below: RetentionSpec) -> RetentionSpec {
        RetentionSpec {
            events_s: self.events_s.or(below.events_s),
            payloads_s: self.payloads_s.or(below.payloads_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_held_against_the_longest() {
        let spec = |events_s, payloads_s| RetentionSpec { events_s, payloads_s };
        let most = spec(Some(100), Some(0));
        assert_eq!(spec(Some(100), Some(7)).beyond(most), None);
        assert_eq!(spec(Some(101), None).beyond(most), Some(("events_s", 100)));
        assert_eq!(spec(Some(0), None).beyond(most), Some(("events_s", 100)), "0 is for ever");
        assert_eq!(spec(None, Some(0)).beyond(spec(None, Some(9))), Some(("payloads_s", 9)));
        assert_eq!(spec(None, None).beyond(most), None);
    }
}
