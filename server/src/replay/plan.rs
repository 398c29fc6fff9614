//! Plans: how many events a replay would send, and the first of them rendered.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use serde::Serialize;

use super::filter::{Decision, Filter};
use super::{Replays, store_error};
use crate::model::{Event, EventId, EventType, Selection};
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;
use crate::pipeline::inspect::preview::Preview;
use crate::registry::ChangeError;
use crate::store::{Candidates, PageSize};

/// Rows per query.
const LOOK_AT_ONCE: usize = 500;

/// What would be sent again.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Plan {
    /// Events that are meant.
    pub count: u64,
    /// False: there are more; counting ended at `replay.look_max`.
    pub exact: bool,
    /// The first three.
    pub samples: Vec<Sample>,
}

/// One event as it would be sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Sample {
    #[schema(value_type = String)]
    pub event_id: EventId,
    #[schema(value_type = String)]
    pub event_type: EventType,
    /// As of `POST …/preview`. An event that was chosen by its id or its delivery is sent even where
    /// `route` says that the webhook would not want it today.
    pub preview: Preview,
}

impl Replays {
    /// Scans a selection, up to `replay.look_max` rows.
    pub(super) async fn look(
        &self,
        tenant: &Arc<Tenant>,
        webhook: &Arc<Webhook>,
        selection: &Selection,
        samples_max: usize,
    ) -> Result<Plan, ChangeError> {
        let filter = Arc::new(Filter::new(selection)?);
        let look_max = self.config().look_max;
        // An event is sent once. Only a hash of each key is kept: a hundred thousand take about a megabyte,
        // and a collision only affects the count and the samples.
        let (hasher, mut seen) = (RandomState::new(), HashSet::new());
        let mut shown: Vec<Arc<Event>> = Vec::new();
        let (mut position, mut looked_at, mut exact) = (String::new(), 0, true);
        loop {
            let limit = LOOK_AT_ONCE.min(look_max - looked_at);
            if limit == 0 {
                exact = false;
                break;
            }
            let size = PageSize { rows_max: limit, bytes_max: self.config().read_bytes_max };
            let Candidates { rows, more } = self
                .store()
                .replays
                .replay_candidates(&tenant.id, webhook.id, selection, &position, size)
                .await?;
            let (by, receiver, steps_max) = (filter.clone(), webhook.clone(), self.steps_max());
            let rows = self.on_pool(tenant, move || by.decide(&receiver, rows, steps_max)).await?;
            // One that is not decided becomes a failed delivery, so it counts.
            let selected = rows.iter().filter(|decided| decided.decision != Decision::Unwanted);
            for event in selected.filter_map(|decided| decided.row.event.as_ref()) {
                if seen.insert(hasher.hash_one(&event.key)) && shown.len() < samples_max {
                    shown.push(event.clone());
                }
            }
            looked_at += rows.len();
            match rows.into_iter().next_back() {
                Some(last) if more => position = last.row.position,
                _ => break,
            }
        }
        let mut samples = Vec::with_capacity(shown.len());
        for event in shown {
            let (event_id, event_type) = (event.key.id.clone(), event.event_type.clone());
            let preview = self.pipeline.preview(tenant, webhook, Event::clone(&event)).await;
            let preview = preview.map_err(store_error)?;
            samples.push(Sample { event_id, event_type, preview });
        }
        Ok(Plan { count: u64::try_from(seen.len()).unwrap_or(u64::MAX), exact, samples })
    }
}
