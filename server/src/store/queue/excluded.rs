//! Webhooks and tenants that a claim leaves out.

use std::collections::HashMap;

use crate::model::{TenantId, WebhookId};

/// Exclusions and limits of a claim.
#[derive(Clone, Debug, Default)]
pub struct Excluded {
    pub webhooks: Vec<WebhookId>,
    pub tenants: Vec<TenantId>,
    /// Webhooks from which only a limited number of deliveries is wanted.
    pub at_most: HashMap<WebhookId, usize>,
}

impl Excluded {
    /// Lowers the limits by the deliveries taken from each webhook.
    pub fn subtract(&mut self, taken: impl Iterator<Item = WebhookId>) {
        for webhook_id in taken {
            if let Some(most) = self.at_most.get_mut(&webhook_id) {
                *most = most.saturating_sub(1);
            }
        }
    }
}
