//! Room in memory for deliveries claimed from the database.

use std::collections::{HashMap, HashSet};

use super::{Lane, LaneKey, Lanes};
use crate::model::WebhookId;

impl Lanes {
    /// Free places for claimed deliveries, of which at most `wanted` are claimed at once. The last quarter of
    /// memory is reserved for newly accepted ones.
    pub(in crate::worker) fn room_for_claims(&mut self, wanted: usize) -> usize {
        let room = (self.places_max - self.places_max / 4).saturating_sub(self.places);
        self.claims_wait |= room < wanted;
        room
    }

    /// Free places of the webhooks that have fewer than `count`, or that have jobs with much data.
    pub(in crate::worker) fn room_below(&self, count: usize) -> HashMap<WebhookId, usize> {
        let few = |(key, lane): (&LaneKey, &Lane)| {
            let room = lane.places_max(self.lane_places_max).saturating_sub(lane.places);
            let is_less = room < count || lane.places > lane.waiting();
            is_less.then(|| lane.webhooks(key).map(move |id| (id, room)).collect::<Vec<_>>())
        };
        self.lanes.iter().filter_map(few).flatten().collect()
    }

    /// A poll filled the room of these webhooks, and the database may hold more for them. They count as full,
    /// so that the next poll starts when half of their room is free.
    pub(in crate::worker) fn may_have_more(&mut self, webhooks: &HashSet<WebhookId>) {
        for (key, lane) in &mut self.lanes {
            if lane.rests || !lane.webhooks(key).any(|id| webhooks.contains(&id)) {
                continue;
            }
            if lane.places <= lane.places_max(self.lane_places_max) / 2 {
                self.freed = true;
            } else {
                lane.told_full = true;
                self.occupancy.set_full(lane.webhooks(key), None);
            }
        }
    }

    /// Whether a full lane or tenant got room since the last call.
    pub(in crate::worker) fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }
}
