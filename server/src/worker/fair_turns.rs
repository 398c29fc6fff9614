//! Tenants in turn, each as often as its weight says, and within a tenant its lanes in turn.

use std::collections::{HashMap, VecDeque};

use super::lane_key::LaneKey;
use crate::model::TenantId;

#[derive(Default)]
struct Tenant {
    /// Those that may start something.
    lanes: VecDeque<LaneKey>,
    weight: u32,
    /// Starts left in this turn.
    left: u32,
    /// In `turn` already.
    queued: bool,
    /// Jobs in memory.
    waiting: usize,
    told_full: bool,
}

/// All tenants that have something to do.
#[derive(Default)]
pub(super) struct FairTurns {
    tenants: HashMap<TenantId, Tenant>,
    turn: VecDeque<TenantId>,
}

impl FairTurns {
    pub(super) fn is_empty(&self) -> bool {
        self.turn.is_empty()
    }

    pub(super) fn put(&mut self, tenant: &TenantId, lane: LaneKey) {
        let turns = self.tenants.entry(tenant.clone()).or_default();
        turns.lanes.push_back(lane);
        if !turns.queued {
            turns.queued = true;
            turns.left = turns.weight.max(1);
            self.turn.push_back(tenant.clone());
        }
    }

    /// The lane that is next.
    pub(super) fn pop(&mut self) -> Option<LaneKey> {
        while let Some(id) = self.turn.front() {
            let Some(tenant) = self.tenants.get_mut(id) else {
                self.turn.pop_front();
                continue;
            };
            if let Some(lane) = tenant.lanes.pop_front() {
                return Some(lane);
            }
            tenant.queued = false;
            if tenant.waiting == 0 && !tenant.told_full {
                self.tenants.remove(id);
            }
            self.turn.pop_front();
        }
        None
    }

    /// The lane that was popped last has started something.
    pub(super) fn spend(&mut self) {
        let Some(tenant) = self.turn.front().and_then(|id| self.tenants.get_mut(id)) else {
            return;
        };
        tenant.left = tenant.left.saturating_sub(1);
        if tenant.left == 0 {
            tenant.left = tenant.weight.max(1);
            self.turn.rotate_left(1);
        }
    }

    /// Notes the weight of a tenant that brings something. Whether it may: alone it may have all of
    /// memory, beside others `share_max`.
    pub(super) fn may_wait(&mut self, tenant: &TenantId, weight: u32, share_max: usize) -> bool {
        let turns = self.tenants.entry(tenant.clone()).or_default();
        turns.weight = weight;
        turns.waiting < share_max || self.tenants.len() == 1
    }

    /// One more job is in memory. True: others are to be told that the tenant has its share.
    pub(super) fn came(&mut self, tenant: &TenantId, share_max: usize) -> bool {
        let alone = self.tenants.len() == 1;
        let Some(turns) = self.tenants.get_mut(tenant) else { return false };
        turns.waiting += 1;
        let tells = turns.waiting >= share_max && !alone && !turns.told_full;
        turns.told_full |= tells;
        tells
    }

    /// Jobs have left memory. True: others are to be told that the tenant has room again. That is
    /// told late, so that the database is asked for many at once.
    pub(super) fn left(&mut self, tenant: &TenantId, count: usize, share_max: usize) -> bool {
        let Some(turns) = self.tenants.get_mut(tenant) else { return false };
        turns.waiting = turns.waiting.saturating_sub(count);
        let tells = turns.told_full && turns.waiting <= share_max / 2;
        turns.told_full &= !tells;
        tells
    }

    pub(super) fn clear(&mut self) {
        *self = FairTurns::default();
    }
}
