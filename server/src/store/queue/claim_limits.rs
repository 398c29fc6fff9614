//! What a claim may take.

use std::collections::HashMap;

use crate::model::{TenantId, WebhookId};

/// Exclusions and room of a claim. A delivery takes one place, and one more for each `place_bytes` of its event
/// and request.
#[derive(Clone, Debug)]
pub struct ClaimLimits {
    /// Webhooks and tenants that are left out.
    pub webhooks: Vec<WebhookId>,
    pub tenants: Vec<TenantId>,
    /// Places for all deliveries.
    pub places: usize,
    /// Places for the deliveries of one webhook, where `at_most` has no number for it.
    pub webhook_places: usize,
    /// Places for the deliveries of single webhooks.
    pub at_most: HashMap<WebhookId, usize>,
    pub place_bytes: usize,
}

impl Default for ClaimLimits {
    fn default() -> ClaimLimits {
        ClaimLimits {
            webhooks: Vec::new(),
            tenants: Vec::new(),
            places: usize::MAX,
            webhook_places: usize::MAX,
            at_most: HashMap::new(),
            place_bytes: usize::MAX,
        }
    }
}

impl ClaimLimits {
    /// Takes the places of a delivery, which may be more than are left. False: none are left.
    pub(super) fn take(&mut self, webhook_id: WebhookId, bytes: usize) -> bool {
        let left = self.at_most.get(&webhook_id).copied().unwrap_or(self.webhook_places);
        if self.places == 0 || left == 0 {
            return false;
        }
        let taken = 1 + bytes / self.place_bytes;
        self.places = self.places.saturating_sub(taken);
        if left != usize::MAX {
            self.at_most.insert(webhook_id, left.saturating_sub(taken));
        }
        true
    }

    /// Webhooks whose places are all taken.
    pub fn filled(&self) -> impl Iterator<Item = WebhookId> {
        self.at_most.iter().filter(|(_, left)| **left == 0).map(|(id, _)| *id)
    }
}
