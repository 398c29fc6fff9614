//! Work whose size strangers choose: small work is done where it is needed, large work on the work pool, in its
//! tenant's turn. What exceeds the small budget is begun again there, with the full one.

use std::sync::Arc;

use antar_json::{Document, OutOfSteps, Steps};

use super::Job;
use super::Pipeline;
use super::accept::call::Call;
use super::accept::route::{Route, route_at_once, route_fully};
use super::accept::source::{Meaning, Source};
use super::accept::verify::{Caller, Context};
use super::attempt::prepare::{PrepareInput, Prepared, prepare};
use super::attempt::render::{self, CannotRender, RenderInput};
use super::attempt::transform::Transformed;
use super::compiled::tenant::Tenant;
use super::compiled::webhook::Webhook;
use crate::model::{Event, Frozen, Invalid, Millis};
use crate::work_pool::NotDone;

/// A few milliseconds of hashing.
const SIGNED_AT_ONCE_BYTES_MAX: usize = 1 << 20;

impl Pipeline {
    /// What a call is to a source.
    ///
    /// # Errors
    /// [`NotDone`] if too much work of the tenant waits.
    pub async fn called(
        &self,
        tenant: &Arc<Tenant>,
        source: &Arc<Source>,
        call: &Arc<Call>,
        caller: Caller,
    ) -> Result<Result<Meaning, Invalid>, NotDone> {
        let (work, now) = (&self.config.work, self.clock.now());
        let (by, of, config, call) =
            (source.clone(), tenant.clone(), self.config.clone(), call.clone());
        let is_small = call.body.len() <= work.bytes_at_once_max && !call.is_coded();
        let look = move |steps: &Steps| {
            let secret = |name: &str| of.secret(name);
            let context = Context { secret: &secret, now, caller, steps };
            by.called(&call, context, &config.intake)
        };
        if is_small && let Ok(called) = look(&Steps::new(work.steps_at_once_max)) {
            return Ok(called);
        }
        let steps_max = self.config.templates.work_max;
        let work = move || {
            look(&Steps::new(steps_max as u64)).unwrap_or_else(|OutOfSteps| {
                let detail = format!(
                    "the paths, patterns and templates of the source take more than {steps_max} steps on this call \
                     (templates.work_max)"
                );
                Err(Invalid { code: "budget_exceeded", ..Invalid::at("", detail) })
            })
        };
        self.work.run(&source.tenant, work).await
    }

    /// Checks and routes an event: here if that takes few steps, else on the work pool.
    pub(super) async fn route(
        &self,
        tenant: &Arc<Tenant>,
        event: Event,
        now: Millis,
        steps: &Steps,
    ) -> Result<(Event, Result<Route, Invalid>), NotDone> {
        match route_at_once(tenant, &event, &self.config, now, steps) {
            Ok(route) => Ok((event, route)),
            Err(OutOfSteps) => {
                let (by, config) = (tenant.clone(), self.config.clone());
                let work = move || {
                    let route = route_fully(&by, &event, &config, now);
                    (event, route)
                };
                self.work.run(&tenant.id, work).await
            }
        }
    }

    /// Fills in the secrets and signs: here if little is to be signed, else on the work pool. An error is a
    /// sentence.
    pub(super) async fn prepare(
        &self,
        tenant: &Arc<Tenant>,
        webhook: &Arc<Webhook>,
        job: &Job,
        frozen: Frozen,
        attempt: u32,
    ) -> Result<(Frozen, Result<Prepared, String>), NotDone> {
        let body = frozen.body.as_deref().map_or(0, antar_template::text_length_bytes);
        let signed_bytes = body.saturating_mul(webhook.plan.signers.len());
        let (config, clock) = (self.config.clone(), self.clock.clone());
        let (tenant, webhook) = (tenant.clone(), webhook.clone());
        let (event, delivery_id, id) = (job.event.clone(), job.delivery_id, tenant.id.clone());
        let work = move || {
            let input = RenderInput { webhook: &webhook, event: &event, delivery_id, test: false };
            let steps = Steps::new(config.work.steps_at_once_max);
            let headers = render::attempt_headers(input, attempt, &steps);
            let input = PrepareInput {
                tenant: &tenant,
                webhook: &webhook,
                event: &event.key,
                hops: event.hops,
                delivery_id,
                now: clock.now(),
                limits: &config.tenant,
                dev: config.server.dev,
            };
            let prepared = headers
                .map_err(|error| error.to_string())
                .and_then(|headers| prepare(input, &frozen, &headers).map_err(|e| e.to_string()));
            (frozen, prepared)
        };
        if signed_bytes <= SIGNED_AT_ONCE_BYTES_MAX {
            Ok(work())
        } else {
            self.work.run(&id, work).await
        }
    }

    /// Renders a request: here if the data is short and that takes few steps, else on the work pool.
    pub(super) async fn render(
        &self,
        input: RenderInput<'_>,
        event: &Arc<Event>,
        transformed: Transformed,
    ) -> Result<Result<Frozen, CannotRender>, NotDone> {
        let work = &self.config.work;
        let data = transformed.data.as_ref().map_or_else(|| event.data(), Document::root);
        if data.raw().len() <= work.bytes_at_once_max {
            let steps = Steps::new(work.steps_at_once_max);
            if let Ok(rendered) = render::render_within(input, &transformed, &steps) {
                return Ok(rendered);
            }
        }
        let RenderInput { webhook, delivery_id, test, .. } = input;
        let (webhook, event) = (webhook.clone(), event.clone());
        let steps_max = self.config.templates.work_max;
        let tenant = event.key.tenant.clone();
        let work = move || {
            let input = RenderInput { webhook: &webhook, event: &event, delivery_id, test };
            render::render(input, &transformed, steps_max)
        };
        self.work.run(&tenant, work).await
    }
}
