//! The parts of a running server, and the calls that need several of them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::config::Config;
use crate::model::{Delivery, DeliveryId, EventId, Invalid, Millis, State, WebhookId};
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
            Accepted::New { answers, jobs, held, learned } => {
                self.dispatcher.submit(jobs).await;
                for webhook_id in held {
                    // The events are durable whatever comes of this.
                    if let Err(error) = self.release_if_open(tenant, webhook_id).await {
                        tracing::warn!(%error, "held deliveries could not be released");
                    }
                }
                self.registry.learn_facet_values(tenant, learned).await;
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
            let mut events = Vec::with_capacity(ids.len());
            for id in ids {
                let event = self.store.get_event(&tenant.id, id, None).await;
                events.push(event.map_err(ChangeError::of("event"))?);
            }
            if let Some(dropped) = events.iter().find(|event| event.dropped_reason.is_some()) {
                let id = &dropped.event.key.id;
                return Err(ChangeError::Conflict(format!(
                    "the event {id} was dropped at intake, and its data was never stored"
                )));
            }
            for event in events {
                self.replay_one(tenant, webhook.id, event, None, &request, &mut replayed).await?;
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
        let max = self.config.tenant.replay_max;
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let page =
                self.store.list_deliveries(&tenant.id, &filter, 200, cursor.as_deref()).await?;
            found.extend(page.data);
            cursor = page.next_cursor;
            if found.len() > max {
                return Err(ChangeError::Conflict(format!(
                    "more than {max} deliveries (tenant.replay_max); replay them in parts with `since` and `until`"
                )));
            }
            if cursor.is_none() {
                break;
            }
        }
        // Oldest first, each event once.
        let mut seen = std::collections::HashSet::new();
        for delivery in found.into_iter().rev() {
            let pending = delivery.state == State::Pending;
            if !seen.insert(delivery.event.clone()) {
                if pending && !request.dry_run {
                    self.store.cancel_waiting(delivery.id, self.clock.now()).await?;
                }
                continue;
            }
            if delivery.state == State::Missed && self.was_taken_up(tenant, &delivery).await? {
                continue;
            }
            let source = Some(delivery.event.source.as_str());
            let event = match self.store.get_event(&tenant.id, &delivery.event.id, source).await {
                Ok(event) => event,
                // Its time was over.
                Err(StoreError::NotFound) => continue,
                Err(error) => return Err(error.into()),
            };
            let instead_of = pending.then_some(delivery.id);
            self.replay_one(tenant, webhook.id, event, instead_of, request, replayed).await?;
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

    /// A new delivery; `instead_of` a waiting one, which is cancelled with it.
    async fn replay_one(
        &self,
        tenant: &Tenant,
        webhook_id: WebhookId,
        event: StoredEvent,
        instead_of: Option<DeliveryId>,
        request: &ReplayRequest,
        replayed: &mut Replayed,
    ) -> Result<(), ChangeError> {
        const DELIVERY_IDS_SHOWN: usize = 100;
        if request.dry_run {
            replayed.count += 1;
            return Ok(());
        }
        // As it is now: a long replay may see it paused, changed or deleted.
        let webhook = tenant.webhook(webhook_id).ok_or(ChangeError::NotFound("webhook"))?;
        let now = self.clock.now();
        let starts_now = |webhook_id| self.dispatcher.has_room(webhook_id);
        let delivery: NewDelivery = crate::pipeline::new_delivery(&webhook, now, starts_now);
        let (id, state) = (delivery.id, delivery.state);
        let event = Arc::new(event.event);
        let job = Job::first(&delivery, event.clone());
        let owner = &self.pipeline.owner;
        if !self.store.add_delivery(&event, delivery, instead_of, owner, now).await? {
            // The waiting one was taken up or cancelled meanwhile.
            return Ok(());
        }
        replayed.count += 1;
        if replayed.delivery_ids.len() < DELIVERY_IDS_SHOWN {
            replayed.delivery_ids.push(id);
        }
        if state == State::InFlight {
            self.dispatcher.submit(vec![job]).await;
        } else {
            self.release_if_open(tenant, webhook_id).await?;
        }
        Ok(())
    }

    async fn release_if_open(&self, tenant: &Tenant, id: WebhookId) -> Result<(), StoreError> {
        if self.pipeline.release_if_open(tenant, id).await? {
            self.dispatcher.wake();
        }
        Ok(())
    }
}
