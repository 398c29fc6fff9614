//! Queue occupancy, readable from any thread.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::model::{Millis, TenantId, WebhookId};

/// The places in memory that jobs take, and which webhooks and tenants have no more room.
pub(super) struct QueueOccupancy {
    waiting: AtomicUsize,
    places: AtomicUsize,
    places_max: usize,
    /// Slow lanes together use their share of memory.
    slow_full: AtomicBool,
    lists: RwLock<Lists>,
}

#[derive(Default)]
struct Lists {
    /// Webhooks whose lane is full or rests, with the end of the rest.
    full: HashMap<WebhookId, Option<Millis>>,
    /// Webhooks whose lane is slow.
    slow: HashSet<WebhookId>,
    /// Tenants that use their share of memory.
    tenants: HashSet<TenantId>,
}

impl QueueOccupancy {
    pub(super) fn new(places_max: usize) -> QueueOccupancy {
        QueueOccupancy {
            waiting: AtomicUsize::new(0),
            places: AtomicUsize::new(0),
            places_max,
            slow_full: AtomicBool::new(false),
            lists: RwLock::default(),
        }
    }

    /// Whether any job waits in memory: for a slot, its turn or its time.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether there is room for a delivery to this webhook.
    pub(super) fn has_room(&self, tenant: &TenantId, webhook_id: WebhookId) -> bool {
        if self.places.load(Ordering::Relaxed) >= self.places_max {
            return false;
        }
        let lists = self.lists.read();
        let slow_full = self.slow_full.load(Ordering::Relaxed);
        let is_full = lists.full.contains_key(&webhook_id)
            || lists.tenants.contains(tenant)
            || (slow_full && lists.slow.contains(&webhook_id));
        !is_full
    }

    /// Until when a webhook rests because its receiver reported overload.
    pub(super) fn rests_until(&self, webhook_id: WebhookId) -> Option<Millis> {
        self.lists.read().full.get(&webhook_id).copied().flatten()
    }

    /// Webhooks and tenants without room.
    pub(super) fn full(&self) -> (Vec<WebhookId>, Vec<TenantId>) {
        let lists = self.lists.read();
        let slow = lists.slow.iter().filter(|_| self.slow_full.load(Ordering::Relaxed));
        let webhooks: HashSet<_> = lists.full.keys().chain(slow).copied().collect();
        (webhooks.into_iter().collect(), lists.tenants.iter().cloned().collect())
    }

    pub(super) fn set_taken(&self, waiting: usize, places: usize, slow_full: bool) {
        self.waiting.store(waiting, Ordering::Relaxed);
        self.places.store(places, Ordering::Relaxed);
        self.slow_full.store(slow_full, Ordering::Relaxed);
    }

    pub(super) fn set_full(
        &self,
        webhooks: impl Iterator<Item = WebhookId>,
        rests_until: Option<Millis>,
    ) {
        let mut lists = self.lists.write();
        webhooks.for_each(|id| {
            lists.full.insert(id, rests_until);
        });
    }

    pub(super) fn unset_full(&self, webhooks: impl Iterator<Item = WebhookId>) {
        let mut lists = self.lists.write();
        webhooks.for_each(|id| {
            lists.full.remove(&id);
        });
    }

    pub(super) fn set_slow(&self, webhooks: impl Iterator<Item = WebhookId>, slow: bool) {
        let mut lists = self.lists.write();
        webhooks.for_each(|id| {
            if slow {
                lists.slow.insert(id);
            } else {
                lists.slow.remove(&id);
            }
        });
    }

    pub(super) fn set_tenant_full(&self, tenant: &TenantId, full: bool) {
        let mut lists = self.lists.write();
        if full {
            lists.tenants.insert(tenant.clone());
        } else {
            lists.tenants.remove(tenant);
        }
    }

    pub(super) fn clear(&self) {
        *self.lists.write() = Lists::default();
        self.set_taken(0, 0, false);
    }
}
