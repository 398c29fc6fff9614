//! The parts of a running server, and the operations that span several of them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::clock::Clock;
use crate::config::Config;
use crate::live_stream::Live;
use crate::model::{Invalid, WebhookId};
use crate::pipeline::accept::intake::Draft;
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::{AcceptError, Accepted, Answer, OnceRequest, Pipeline};
use crate::registry::Registry;
use crate::rejections::Rejections;
use crate::replay::Replays;
use crate::store::{Store, StoreError};
use crate::worker::Dispatcher;

/// State shared by the HTTP handlers.
pub struct App {
    pub config: Arc<Config>,
    pub clock: Clock,
    pub store: Store,
    pub registry: Arc<Registry>,
    pub pipeline: Arc<Pipeline>,
    pub dispatcher: Dispatcher,
    pub replays: Replays,
    pub live: Arc<Live>,
    pub rejections: Rejections,
    /// False while starting and while draining.
    pub ready: Arc<AtomicBool>,
}

/// The answer to a posted request.
pub enum Posted {
    /// In posted order.
    New(Vec<Answer>),
    /// The `Idempotency-Key` was used before; `same`: by an identical request.
    Before { same: bool, status: u16, body: String },
}

impl App {
    /// Checks, routes and commits events, and starts their deliveries. Accepted events are durable on return.
    pub async fn post_events(
        &self,
        tenant: &Arc<Tenant>,
        drafts: Vec<Result<Draft, Invalid>>,
        once: Option<OnceRequest>,
    ) -> Result<Posted, AcceptError> {
        let starts_now = |webhook_id| self.dispatcher.has_room(&tenant.id, webhook_id);
        match self.pipeline.accept(tenant, drafts, once, starts_now).await? {
            Accepted::Before { same, status, body } => Ok(Posted::Before { same, status, body }),
            Accepted::New { answers, jobs, held, learned, due_at } => {
                self.dispatcher.submit(jobs).await;
                if let Some(due_at) = due_at {
                    self.dispatcher.wake_at(due_at);
                }
                for webhook_id in held {
                    // The events are durable even if this fails.
                    if let Err(error) = self.release_if_open(tenant, webhook_id).await {
                        tracing::warn!(%error, "held deliveries could not be released");
                    }
                }
                self.registry.learn_facet_values(tenant, learned).await;
                Ok(Posted::New(answers))
            }
        }
    }

    async fn release_if_open(&self, tenant: &Tenant, id: WebhookId) -> Result<(), StoreError> {
        if self.pipeline.release_if_open(tenant, id).await? {
            self.dispatcher.wake();
        }
        Ok(())
    }
}
