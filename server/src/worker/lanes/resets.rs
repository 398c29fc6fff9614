//! Changes to all lanes at once: emptying the queues, and following a clock that was set back.

use std::collections::BTreeMap;

use super::{LaneKey, Lanes};
use crate::model::Millis;
use crate::pipeline::Job;

impl Lanes {
    /// Empties the queues and returns their jobs. Running attempts and rests continue.
    pub(in crate::worker) fn clear(&mut self) -> Vec<Job> {
        self.turns.clear();
        self.parked = Default::default();
        self.crowded.clear();
        self.paced.clear();
        self.occupancy.clear();
        let mut jobs = Vec::with_capacity(self.waiting);
        let (place_bytes, mut places, mut places_slow) = (self.place_bytes, 0, 0);
        for (key, lane) in &mut self.lanes {
            (lane.queued, lane.parked, lane.told_full) = (false, false, lane.rests);
            let first = jobs.len();
            jobs.extend(lane.drain());
            // Running jobs keep theirs.
            lane.places -=
                jobs[first..].iter().map(|job| 1 + job.bytes() / place_bytes).sum::<usize>();
            places += lane.places;
            places_slow += if lane.slow { lane.places } else { 0 };
            if lane.rests {
                self.occupancy.set_full(lane.webhooks(key), Some(lane.backoff.rests_until()));
            }
            if lane.slow {
                self.occupancy.set_slow(lane.webhooks(key), true);
            }
        }
        (self.waiting, self.places, self.places_slow) = (0, places, places_slow);
        self.publish_occupancy();
        jobs
    }

    /// The clock was set back: shifts all waiting times with it, so that no wait grows.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit into 53 bits")]
    pub(in crate::worker) fn set_back(&mut self, by_ms: i64) {
        for times in [&mut self.paced, &mut self.resting] {
            set_back(times, by_ms);
        }
        for (key, lane) in &mut self.lanes {
            lane.next_start_ms -= by_ms as f64;
            lane.backoff.set_back(by_ms);
            if lane.rests {
                self.occupancy.set_full(lane.webhooks(key), Some(lane.backoff.rests_until()));
            }
        }
        self.slots.set_back(by_ms);
    }
}

fn set_back(times: &mut BTreeMap<Millis, Vec<LaneKey>>, by_ms: i64) {
    let all = std::mem::take(times).into_iter();
    times.extend(all.map(|(at, lanes)| (at.plus_ms(-by_ms), lanes)));
}
