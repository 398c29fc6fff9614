//! Preview: a dry run of the whole pipeline for one event, for people to read. Nothing is stored or sent.

use std::sync::Arc;
use std::time::Instant;

use antar_json::{Document, OutOfSteps, Steps};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::diff::diff;
use crate::model::{DeliveryId, Event, FieldError, Frozen, Secret, SentRequest, reason};
use crate::pipeline::Pipeline;
use crate::pipeline::attempt::prepare::{PrepareInput, prepare};
use crate::pipeline::attempt::render::{self, RenderInput};
use crate::pipeline::attempt::secrets::Masker;
use crate::pipeline::attempt::transform::{self, Step, TransformEnd, secrets_of};
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;
use crate::plugin::Outcome;
use crate::work_pool::NotDone;

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StageOutcome {
    Pass,
    Drop,
    Fail,
    /// Not run, because one before it did not pass.
    Skip,
}

/// One stage of a preview.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Stage {
    /// `intake`, `route`, `transform`, `render` or `sign`.
    pub stage: &'static str,
    pub outcome: StageOutcome,
    pub reason: Option<String>,
    pub took_us: u64,
    #[schema(value_type = Object)]
    pub detail: Json,
}

/// A dry run of everything up to sending.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Preview {
    pub stages: Vec<Stage>,
    /// What would be sent, secrets masked; null when it did not get that far.
    pub request: Option<SentRequest>,
    /// Template tokens that did not resolve.
    pub unresolved: Vec<String>,
    /// What looks like a slip, though it works; pointers are into the webhook.
    pub warnings: Vec<FieldError>,
}

impl Pipeline {
    /// Runs every stage except sending on `event` for `webhook`, enabled or not.
    ///
    /// # Errors
    /// [`NotDone`] if too much work of the tenant waits.
    pub async fn preview(
        &self,
        tenant: &Arc<Tenant>,
        webhook: &Arc<Webhook>,
        event: Event,
    ) -> Result<Preview, NotDone> {
        let event = Arc::new(event);
        let mut preview = self.preview_accept(tenant, webhook, &event).await?;
        if preview.stages.iter().all(|stage| stage.outcome == StageOutcome::Pass) {
            self.preview_request(tenant, webhook, &event, &mut preview).await?;
        }
        for stage in ["transform", "render", "sign"] {
            if !preview.stages.iter().any(|seen| seen.stage == stage) {
                preview.push(stage, StageOutcome::Skip, None, Instant::now(), json!({}));
            }
        }
        Ok(preview)
    }

    async fn preview_accept(
        &self,
        tenant: &Arc<Tenant>,
        webhook: &Arc<Webhook>,
        event: &Arc<Event>,
    ) -> Result<Preview, NotDone> {
        let steps_max = self.config.intake.rule_steps_max;
        let (by, webhook, event) = (tenant.clone(), webhook.clone(), event.clone());
        let work = move || {
            let mut preview = Preview {
                stages: Vec::new(),
                request: None,
                unresolved: Vec::new(),
                warnings: Vec::new(),
            };
            preview.intake(&by, &webhook, &event);
            preview.route(&webhook, &event, steps_max);
            preview
        };
        self.work.run(&tenant.id, work).await
    }

    async fn preview_request(
        &self,
        tenant: &Tenant,
        webhook: &Webhook,
        event: &Arc<Event>,
        preview: &mut Preview,
    ) -> Result<(), NotDone> {
        let began = Instant::now();
        let (mut steps, masker) = (Vec::new(), config_masker(tenant, webhook));
        let end = transform::transform(&self.host, tenant, webhook, event, |step| {
            steps.push(describe(step, &masker));
        })
        .await;
        let (outcome, reason) = match &end {
            TransformEnd::Go(_) => (StageOutcome::Pass, None),
            TransformEnd::Drop(reason) => (StageOutcome::Drop, Some(reason)),
            TransformEnd::Retry(reason)
            | TransformEnd::Fail(reason)
            | TransformEnd::Hold { reason, .. } => (StageOutcome::Fail, Some(reason)),
        };
        let reason = reason.map(|reason| masker.mask(reason.clone()));
        preview.push("transform", outcome, reason, began, json!({ "plugins": steps }));
        let TransformEnd::Go(transformed) = end else { return Ok(()) };

        let began = Instant::now();
        let delivery_id = DeliveryId::new(self.clock.now());
        let input = RenderInput { webhook, event, delivery_id, test: false };
        let steps = Steps::new(self.config.work.steps_at_once_max);
        let rendered = self.render(input, event, transformed).await?;
        let rendered =
            rendered.and_then(|frozen| Ok((frozen, render::attempt_headers(input, 1, &steps)?)));
        let (frozen, attempt_headers) = match rendered {
            Ok(rendered) => rendered,
            Err(error) => {
                let detail = json!({ "place": error.place });
                let reason = Some(error.to_string());
                preview.unresolved = error.unresolved;
                preview.push("render", StageOutcome::Fail, reason, began, detail);
                return Ok(());
            }
        };
        preview.unresolved.clone_from(&frozen.unresolved);
        preview.push("render", StageOutcome::Pass, None, began, describe_rendered(&frozen));

        let began = Instant::now();
        let input = PrepareInput {
            tenant,
            webhook,
            event: &event.key,
            hops: event.hops,
            delivery_id,
            now: self.clock.now(),
            limits: &self.config.tenant,
            dev: self.config.server.dev,
        };
        match prepare(input, &frozen, &attempt_headers) {
            Ok(prepared) => {
                preview.warnings.extend(self.warn_of_url(&prepared.outgoing.url));
                let signed = prepared.signed();
                let sent = prepared.sent();
                let headers = sent.headers.iter().filter(|(name, _)| signed.contains(*name));
                let headers: Json = headers.collect();
                let detail = json!({ "headers": headers });
                preview.push("sign", StageOutcome::Pass, None, began, detail);
                preview.request = Some(sent);
            }
            Err(error) => {
                preview.push("sign", StageOutcome::Fail, Some(error.to_string()), began, json!({}));
            }
        }
        Ok(())
    }

    /// A warning about a URL, as far as that is possible without sending a request.
    fn warn_of_url(&self, url: &str) -> Option<FieldError> {
        if let Some(refused) = self.sender.refuses(url) {
            return Some(FieldError::new("/url", refused));
        }
        let plain = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
        let said = "goes out over plain HTTP, where everybody on the way can read it";
        (plain && !self.config.server.dev).then(|| FieldError::new("/url", said))
    }
}

impl Preview {
    fn push(
        &mut self,
        stage: &'static str,
        outcome: StageOutcome,
        reason: Option<String>,
        began: Instant,
        detail: Json,
    ) {
        let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.stages.push(Stage { stage, outcome, reason, took_us, detail });
    }

    fn intake(&mut self, tenant: &Tenant, webhook: &Webhook, event: &Event) {
        let began = Instant::now();
        let known = tenant.read(|state| state.catalog_type(&event.event_type).cloned());
        let known = known.or_else(|| webhook.profile.types.get(&event.event_type).cloned());
        let miss = known.as_ref().and_then(|known| known.miss(event.data()));
        let reason = miss.map(|miss| {
            format!("misses the type's schema at `data{}`: {}", miss.pointer, miss.detail)
        });
        let detail = json!({ "known_type": known.is_some(), "schema_ok": reason.is_none() });
        self.push("intake", StageOutcome::Pass, reason, began, detail);
    }

    fn route(&mut self, webhook: &Webhook, event: &Event, steps_max: u64) {
        let began = Instant::now();
        let (subscription, event_type) = (&webhook.plan.subscription, event.event_type.as_str());
        let steps = Steps::new(steps_max);
        let why = subscription.why_not(event_type, event.document.root(), &steps);
        let (outcome, reason, detail) = match &why {
            Err(OutOfSteps) => {
                let reason = format!(
                    "its rule and facets take more than {steps_max} steps on this event (intake.rule_steps_max)"
                );
                (StageOutcome::Fail, Some(reason), json!({ "reason": reason::BUDGET_EXCEEDED }))
            }
            Ok(Some(why)) => (StageOutcome::Drop, Some(why.reason.clone()), json!(why)),
            Ok(None) => {
                let filter = subscription.filter_for(event_type);
                (StageOutcome::Pass, None, json!({ "event_types": filter }))
            }
        };
        self.push("route", outcome, reason, began, detail);
    }
}

/// A masker for the secrets that plugins get in their configs and might output.
fn config_masker(tenant: &Tenant, webhook: &Webhook) -> Masker {
    let names = webhook.plan.plugins.iter().flat_map(|used| secrets_of(used.config.root()));
    let secrets: Vec<Secret> = names.filter_map(|name| tenant.secret(&name)).collect();
    Masker::of(&secrets)
}

/// Describes one plugin call for people, with secrets masked.
fn describe(step: Step<'_>, masker: &Masker) -> Json {
    let report = match step.report {
        Ok(report) => report,
        Err(error) => {
            let reason = error.to_string();
            return json!({ "plugin": step.plugin, "outcome": "fail", "reason": reason });
        }
    };
    let (outcome, reason, after) = match &report.result {
        Ok(Outcome::Pass) => ("pass", None, None),
        Ok(Outcome::Replace(with)) => ("replace", None, Some(with)),
        Ok(Outcome::Split(_)) => ("split", None, None),
        Ok(Outcome::Drop(reason)) => ("drop", Some(reason.clone()), None),
        Err(error) => ("fail", Some(error.to_string()), None),
    };
    let logs = report.logs.iter().map(|(level, text)| {
        let level = format!("{level:?}").to_lowercase();
        json!({ "level": level, "text": masker.mask(text.clone()) })
    });
    let data = after.map(|with| masked(&with.data, masker));
    let headers = after.map(|with| {
        let shown =
            |(name, value): &(String, String)| (name.clone(), masker.mask(value.clone()).into());
        with.headers.iter().map(shown).collect::<serde_json::Map<_, _>>()
    });
    json!({
        "plugin": step.plugin,
        "outcome": outcome,
        "reason": reason.map(|reason| masker.mask(reason)),
        "took_us": report.took_us,
        "memory_bytes": report.memory_bytes,
        "logs": logs.collect::<Vec<_>>(),
        "changes": data.as_ref().map(|data| diff(step.before, data.root())),
        "headers": headers,
        "before": step.before.to_document(),
        "after": data,
    })
}

fn masked(data: &Document, masker: &Masker) -> Document {
    // Masking a secret that is part of the JSON itself, such as a number, can leave invalid JSON.
    masker.mask(data.text().to_owned()).parse().unwrap_or_else(|_| Document::empty_object())
}

/// The sizes of a rendered request, and its unresolved tokens.
fn describe_rendered(frozen: &Frozen) -> Json {
    let shown = antar_template::masked;
    json!({
        "method": frozen.method,
        "url_bytes": shown(&frozen.url).len(),
        "headers": frozen.headers.len(),
        "body_bytes": frozen.body.as_deref().map(|body| shown(body).len()),
        "unresolved": frozen.unresolved,
    })
}
