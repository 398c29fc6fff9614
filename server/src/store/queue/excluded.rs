//! Webhooks and tenants that a claim passes over.

use std::collections::HashMap;

use crate::model::{TenantId, WebhookId};

/// What a claim leaves for others, or for later.
#[derive(Clone, Debug, Default)]
pub struct Excluded {
    pub webhooks: Vec<WebhookId>,
    pub tenants: Vec<TenantId>,
    /// Webhooks of which only so many are wanted.
    pub at_most: HashMap<WebhookId, usize>,
}

impl Excluded {
    /// Deliveries of these webhooks were taken: that many fewer are wanted.
    pub fn subtract(&mut self, taken: impl Iterator<Item = WebhookId>) {
        for webhook_id in taken {
            if let Some(most) = self.at_most.get_mut(&webhook_id) {
                *most = most.saturating_sub(1);
            }
        }
    }
}
