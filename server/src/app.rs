//! The parts of a running server, and the calls that need several of them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::config::Config;
use crate::model::{Delivery, DeliveryId, EventId, Invalid, Millis, State};
use crate::pipeline::intake::Draft;
use crate::pipeline::tenant::Tenant;
use crate::pipeline::webhook::Webhook;
use crate::pipeline::{AcceptError, Accepted, Answer, Job, OnceRequest, Pipeline};
use crate::registry::{ChangeError, Registry};
use crate::store::{DeliveryFilter, NewDelivery, Store, StoreError, StoredEvent};
use crate::worker::Dispatcher;

/// What handlers work with.
pub struct App {
    pub config: Arc<Config>,
    pub clock: Clock,
    pub store: Store,
    pub registry: Arc<Registry>,
    pub pipeline: Arc<Pipeline>,
    pub dispatcher: Dispatcher,
    /// False while starting and while draining.
    pub ready: Arc<AtomicBool>,
}

/// The answer to a posted request.
pub enum Posted {
    /// In posted order.
    New(Vec<Answer>),
    /// Its `Idempotency-Key` was there before; `same` tells whether the request is the same too.
    Before { same: bool, status: u16, body: String },
}

/// Which old events to send again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayRequest {
    /// `missed`: events that came while the webhook was disabled.
    pub only: Option<Only>,
    /// Deliveries in this state. `pending`: the waiting ones are cancelled and their events sent
    /// anew, through today's settings.
    pub state: Option<State>,
    /// These events, whatever became of them.
    pub event_ids: Option<Vec<EventId>>,
    /// Deliveries made at or after.
    pub since: Option<Millis>,
    /// Deliveries made before.
    pub until: Option<Millis>,
    /// Counts and changes nothing.
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    Missed,
}

/// What a replay did, or would do.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Replayed {
    /// Events sent again.
    pub count: u64,
    /// The new deliveries, the first 100.
    #[schema(value_type = Vec<String>)]
    pub delivery_ids: Vec<DeliveryId>,
}

impl App {
    /// Checks, routes, commits and starts. What is accepted is durable when this returns.
    pub async fn post_events(
        &self,
        tenant: &Arc<Tenant>,
        drafts: Vec<Result<Draft, Invalid>>,
        once: Option<OnceRequest>,
    ) -> Result<Posted, AcceptError> {
        let starts_now = |webhook_id| self.dispatcher.has_room(webhook_id);
        match self.pipeline.accept(tenant, drafts, once, starts_now).await? {
            Accepted::Before { same, status, body } => Ok(Posted::Before { same, status, body }),
            Accepted::New { answers, jobs } => {
                self.dispatcher.submit(jobs).await;
                Ok(Posted::New(answers))
            }
        }
    }

    /// Makes new deliveries of old events, with new ids, through today's configuration.
    pub async fn replay(
        &self,
        tenant: &Arc<Tenant>,
        webhook: &Arc<Webhook>,
        request: ReplayRequest,
    ) -> Result<Replayed, ChangeError> {
        let mut replayed = Replayed::default();
        let state = request.only.map(|Only::Missed| State::Missed).or(request.state);
        if state == Some(State::InFlight) {
            let invalid = Invalid::at(
                "/state",
                "deliveries in flight can't be replayed; wait for them, or cancel them",
            );
            return Err(invalid.into());
        }
        if let Some(ids) = &request.event_ids {
            for id in ids {
                let event = self.store.get_event(&tenant.id, id, None).await;
                let event = event.map_err(ChangeError::of("event"))?;
                self.replay_one(webhook, event, &request, &mut replayed).await?;
            }
            return Ok(replayed);
        }
        if state.is_none() && request.since.is_none() {
            let invalid =
                Invalid::at("", "say what to replay: `only`, `state`, `event_ids` or `since`");
            return Err(invalid.into());
        }
        self.replay_deliveries(tenant, webhook, state, &request, &mut replayed).await?;
        Ok(replayed)
    }

    async fn replay_deliveries(
        &self,
        tenant: &Arc<Tenant>,
        webhook: &Arc<Webhook>,
        state: Option<State>,
        request: &ReplayRequest,
        replayed: &mut Replayed,
    ) -> Result<(), ChangeError> {
        // What the replay itself makes is newer than this and is not looked at again.
        let now = self.clock.now();
        let filter = DeliveryFilter {
            webhook_id: Some(webhook.id),
            state,
            since: request.since,
            until: Some(request.until.map_or(now.plus_ms(1), |until| until.min(now.plus_ms(1)))),
            ..DeliveryFilter::default()
        };
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let page =
                self.store.list_deliveries(&tenant.id, &filter, 200, cursor.as_deref()).await?;
            found.extend(page.data);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        // Oldest first, each event once.
        let mut seen = std::collections::HashSet::new();
        for delivery in found.into_iter().rev() {
            if !seen.insert(delivery.event.clone()) {
                continue;
            }
            let source = Some(delivery.event.source.as_str());
            let event = match self.store.get_event(&tenant.id, &delivery.event.id, source).await {
                Ok(event) => event,
                // Its time was over.
                Err(StoreError::NotFound) => continue,
                Err(error) => return Err(error.into()),
            };
            match delivery.state {
                // Sent again before, or by hand.
                State::Missed if self.was_taken_up(tenant, &delivery).await? => continue,
                State::Pending if !request.dry_run => {
                    let cancelled = self.store.cancel_delivery(delivery.id, self.clock.now()).await;
                    // It may have been delivered, or taken up, meanwhile.
                    if !matches!(cancelled, Ok(State::Cancelled)) {
                        continue;
                    }
                }
                _ => {}
            }
            self.replay_one(webhook, event, request, replayed).await?;
        }
        Ok(())
    }

    /// Whether the event of a missed delivery has another delivery to the same webhook.
    async fn was_taken_up(&self, tenant: &Tenant, missed: &Delivery) -> Result<bool, ChangeError> {
        let filter = DeliveryFilter {
            event_id: Some(missed.event.id.clone()),
            webhook_id: Some(missed.webhook_id),
            ..DeliveryFilter::default()
        };
        let same = self.store.list_deliveries(&tenant.id, &filter, 200, None).await?;
        Ok(same
            .data
            .iter()
            .any(|other| other.event == missed.event && other.state != State::Missed))
    }

    async fn replay_one(
        &self,
        webhook: &Arc<Webhook>,
        event: StoredEvent,
        request: &ReplayRequest,
        replayed: &mut Replayed,
    ) -> Result<(), ChangeError> {
        replayed.count += 1;
        if request.dry_run {
            return Ok(());
        }
        const DELIVERY_IDS_SHOWN: usize = 100;
        let now = self.clock.now();
        let starts_now = |webhook_id| self.dispatcher.has_room(webhook_id);
        let delivery: NewDelivery = crate::pipeline::new_delivery(webhook, now, starts_now);
        if replayed.delivery_ids.len() < DELIVERY_IDS_SHOWN {
            replayed.delivery_ids.push(delivery.id);
        }
        let event = Arc::new(event.event);
        let job = Job::first(&delivery, event.clone());
        let starts = delivery.state == State::InFlight;
        self.store.add_delivery(&event, delivery, &self.pipeline.owner, now).await?;
        if starts {
            self.dispatcher.submit(vec![job]).await;
        } else {
            self.dispatcher.wake();
        }
        Ok(())
    }
}
