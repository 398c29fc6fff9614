//! Weighted round-robin over tenants, and round-robin over the lanes of each tenant.

use std::collections::{HashMap, VecDeque};

use super::lane_key::LaneKey;
use crate::model::TenantId;

#[derive(Default)]
struct Tenant {
    /// Lanes that may start a job.
    lanes: VecDeque<LaneKey>,
    weight: u32,
    /// Starts left in this turn.
    left: u32,
    /// Already in `turn`.
    queued: bool,
    /// Places in memory that its jobs take.
    places: usize,
    told_full: bool,
}

/// All tenants that have work.
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

    /// Takes the next lane.
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
            if tenant.places == 0 && !tenant.told_full {
                self.tenants.remove(id);
            }
            self.turn.pop_front();
        }
        None
    }

    /// Counts a start of the lane that was popped last.
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

    /// Stores the weight of a tenant and returns whether it may queue another job: the only tenant may use
    /// all of memory, one among others `share_max`.
    pub(super) fn may_wait(&mut self, tenant: &TenantId, weight: u32, share_max: usize) -> bool {
        let turns = self.tenants.entry(tenant.clone()).or_default();
        turns.weight = weight;
        turns.places < share_max || self.tenants.len() == 1
    }

    /// Counts a job that came to memory, with the places that it takes. True: the tenant is to be reported as full.
    pub(super) fn came(&mut self, tenant: &TenantId, places: usize, share_max: usize) -> bool {
        let alone = self.tenants.len() == 1;
        let Some(turns) = self.tenants.get_mut(tenant) else { return false };
        turns.places += places;
        let tells = turns.places >= share_max && !alone && !turns.told_full;
        turns.told_full |= tells;
        tells
    }

    /// Subtracts places that are free again. True: the tenant is to be reported as having room again. That is
    /// reported only at half of its share, so that the next claim is large.
    pub(super) fn left(&mut self, tenant: &TenantId, places: usize, share_max: usize) -> bool {
        let Some(turns) = self.tenants.get_mut(tenant) else { return false };
        turns.places = turns.places.saturating_sub(places);
        let tells = turns.told_full && turns.places <= share_max / 2;
        turns.told_full &= !tells;
        tells
    }

    pub(super) fn clear(&mut self) {
        *self = FairTurns::default();
    }
}
