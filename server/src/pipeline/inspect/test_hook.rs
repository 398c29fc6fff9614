//! Test hook: sends a real request on demand, to check whether a webhook works.

use std::sync::Arc;
use std::time::Instant;

use crate::model::{DeliveryId, Event, Response, SentRequest};
use crate::pipeline::attempt::job::Job;
use crate::pipeline::attempt::render::RenderInput;
use crate::pipeline::attempt::success::check_success;
use crate::pipeline::client::timing::Timing;
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;
use crate::pipeline::{Pipeline, render_input, took_ms};

/// Result of a test request.
#[derive(Clone, Debug, Default)]
pub struct TestReport {
    pub request: Option<SentRequest>,
    pub response: Option<Response>,
    /// Why it was not a success.
    pub error: Option<String>,
    pub unresolved: Vec<String>,
    pub took_ms: u64,
    /// None if nothing was sent.
    pub timing: Option<Timing>,
}

impl Pipeline {
    /// Sends a real request from the current configuration, with the profile's test headers and a new
    /// delivery id. Nothing is stored.
    pub async fn test(
        &self,
        tenant: &Arc<Tenant>,
        webhook: &Arc<Webhook>,
        event: Event,
    ) -> TestReport {
        let began = Instant::now();
        let delivery_id = DeliveryId::new(self.clock.now());
        let job = Job::first(delivery_id, webhook.id, Arc::new(event));
        let mut report = TestReport::default();
        let input = RenderInput { test: true, ..render_input(webhook, &job) };
        let mut held = self.requests.of(&tenant.id);
        let frozen = self.make_request(tenant, input, &job, &mut held).await;
        let frozen = frozen.map_err(|none| {
            let (error, unresolved) = none.explained();
            report.unresolved = unresolved;
            error
        });
        let prepared = match frozen {
            Ok(frozen) => {
                report.unresolved.clone_from(&frozen.unresolved);
                let prepared = self.prepare(tenant, webhook, &job, frozen, 1).await;
                prepared.map_err(|error| error.to_string()).and_then(|(_, prepared)| prepared)
            }
            Err(error) => Err(error),
        };
        match prepared {
            Err(error) => report.error = Some(error),
            Ok(prepared) => {
                let (sent, timing) = self.sender.send_timed(&prepared.outgoing).await;
                report.timing = Some(timing);
                let answer = sent.answer().map_err(ToString::to_string);
                let (_, error) = check_success(webhook, answer, self.config.work.steps_at_once_max);
                report.error = error.map(|error| prepared.mask_text(error));
                report.response = sent.response.map(|response| prepared.mask(response));
                report.request = Some(prepared.sent());
            }
        }
        report.took_ms = took_ms(began);
        report
    }
}
