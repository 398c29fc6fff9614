//! What would happen, and why something did not: the stages run for people to look at. Nothing is
//! stored or sent.

use std::time::Instant;

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::Pipeline;
use super::prepare::{PrepareInput, prepare};
use super::render::{self, RenderInput};
use super::tenant::Tenant;
use super::transform::{self, Step, TransformEnd};
use super::webhook::Webhook;
use crate::model::{Delivery, DeliveryId, Event, SentRequest, State};
use crate::plugin::Outcome;

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
    pub unresolved: Vec<String>,
}

/// What became of an event at one webhook.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Explanation {
    #[schema(value_type = String)]
    pub webhook_id: crate::model::WebhookId,
    /// The webhook's name.
    pub name: String,
    /// The delivery's state; `not_wanted`; or `no_delivery` for one that would want it today.
    pub outcome: String,
    /// Where it was decided: `event_types`, `facets` or `rule` of `route`, or `deliver`.
    pub stage: String,
    /// A sentence.
    pub reason: Option<String>,
    #[schema(value_type = Object)]
    pub detail: Json,
}

/// Explains `event` at `webhook`, given its delivery there, if it has one.
#[must_use]
pub fn explain(webhook: &Webhook, event: &Event, delivery: Option<&Delivery>) -> Explanation {
    let about = |outcome: &str, stage: &str, reason: Option<String>, detail: Json| Explanation {
        webhook_id: webhook.id,
        name: webhook.spec.name.clone(),
        outcome: outcome.to_owned(),
        stage: stage.to_owned(),
        reason,
        detail,
    };
    if let Some(delivery) = delivery {
        let stage = match delivery.state {
            State::Dropped => "transform",
            State::Missed => "route",
            _ => "deliver",
        };
        let detail = json!({
            "delivery_id": delivery.id,
            "attempts": delivery.attempts,
            "next_attempt_at": delivery.next_attempt_at,
        });
        return about(delivery.state.as_str(), stage, delivery.reason.clone(), detail);
    }
    let event_type = event.event_type.as_str();
    match webhook.plan.wants.why_not(event_type, event.document.root()) {
        Some(why) => about("not_wanted", "route", Some(why.reason.clone()), json!(why)),
        None => {
            let reason = "it would want the event today, but did not exist or had other settings \
                          when the event came; replay the event to send it";
            about("no_delivery", "route", Some(reason.to_owned()), json!({}))
        }
    }
}

impl Pipeline {
    /// Runs every stage but the sending on `event` for `webhook`, enabled or not.
    pub async fn preview(&self, tenant: &Tenant, webhook: &Webhook, event: &Event) -> Preview {
        let mut preview = Preview { stages: Vec::new(), request: None, unresolved: Vec::new() };
        preview.intake(tenant, event);
        if preview.route(webhook, event) {
            self.preview_request(tenant, webhook, event, &mut preview).await;
        }
        for stage in ["transform", "render", "sign"] {
            if !preview.stages.iter().any(|seen| seen.stage == stage) {
                preview.push(stage, StageOutcome::Skip, None, Instant::now(), json!({}));
            }
        }
        preview
    }

    async fn preview_request(
        &self,
        tenant: &Tenant,
        webhook: &Webhook,
        event: &Event,
        preview: &mut Preview,
    ) {
        let began = Instant::now();
        let mut steps = Vec::new();
        let end = transform::transform(&self.host, tenant, webhook, event, |step| {
            steps.push(describe(&step))
        })
        .await;
        let (outcome, reason) = match &end {
            TransformEnd::Go(_) => (StageOutcome::Pass, None),
            TransformEnd::Drop(reason) => (StageOutcome::Drop, Some(reason.clone())),
            TransformEnd::Retry(reason) | TransformEnd::Fail(reason) => {
                (StageOutcome::Fail, Some(reason.clone()))
            }
        };
        preview.push("transform", outcome, reason, began, json!({ "plugins": steps }));
        let TransformEnd::Go(transformed) = end else { return };

        let began = Instant::now();
        let delivery_id = DeliveryId::new(self.clock.now());
        let input = RenderInput { webhook, event, delivery_id, test: false };
        let rendered = render::render(input, &transformed)
            .and_then(|frozen| Ok((frozen, render::attempt_headers(input, 1)?)));
        let (frozen, attempt_headers) = match rendered {
            Ok(rendered) => rendered,
            Err(error) => {
                let detail = json!({ "place": error.place });
                return preview.push(
                    "render",
                    StageOutcome::Fail,
                    Some(error.to_string()),
                    began,
                    detail,
                );
            }
        };
        preview.unresolved.clone_from(&frozen.unresolved);
        let body_bytes = frozen.body.as_deref().map(|body| antar_template::masked(body).len());
        let detail = json!({ "unresolved": frozen.unresolved, "body_bytes": body_bytes });
        preview.push("render", StageOutcome::Pass, None, began, detail);

        let began = Instant::now();
        let input = PrepareInput {
            tenant,
            webhook,
            event_id: &event.key.id,
            delivery_id,
            now: self.clock.now(),
            dev: self.config.server.dev,
        };
        match prepare(input, &frozen, &attempt_headers) {
            Ok(prepared) => {
                preview.push("sign", StageOutcome::Pass, None, began, json!({}));
                preview.request = Some(prepared.sent);
            }
            Err(error) => {
                preview.push("sign", StageOutcome::Fail, Some(error.to_string()), began, json!({}));
            }
        }
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

    fn intake(&mut self, tenant: &Tenant, event: &Event) {
        let began = Instant::now();
        let known = tenant.read(|state| state.catalog_type(&event.event_type).cloned());
        let miss = known.as_ref().and_then(|known| known.miss(event.data()));
        let reason = miss.map(|miss| {
            format!("misses the type's schema at `data{}`: {}", miss.pointer, miss.detail)
        });
        let detail = json!({ "known_type": known.is_some(), "schema_ok": reason.is_none() });
        self.push("intake", StageOutcome::Pass, reason, began, detail);
    }

    /// True when the event is wanted.
    fn route(&mut self, webhook: &Webhook, event: &Event) -> bool {
        let began = Instant::now();
        let why = webhook.plan.wants.why_not(event.event_type.as_str(), event.document.root());
        let wanted = why.is_none();
        let outcome = if wanted { StageOutcome::Pass } else { StageOutcome::Drop };
        let reason = why.as_ref().map(|why| why.reason.clone());
        self.push("route", outcome, reason, began, json!(why));
        wanted
    }
}

/// One plugin's call, for people.
fn describe(step: &Step) -> Json {
    let Some(report) = &step.report else {
        return json!({ "plugin": step.plugin, "outcome": "fail", "reason": "there is no such plugin" });
    };
    let (outcome, reason, after) = match &report.result {
        Ok(Outcome::Pass) => ("pass", None, None),
        Ok(Outcome::Replace(with)) => ("replace", None, Some(&with.data)),
        Ok(Outcome::Split(_)) => ("split", None, None),
        Ok(Outcome::Drop(reason)) => ("drop", Some(reason.clone()), None),
        Err(error) => ("fail", Some(error.to_string()), None),
    };
    let logs = report
        .logs
        .iter()
        .map(|(level, text)| json!({ "level": format!("{level:?}").to_lowercase(), "text": text }));
    json!({
        "plugin": step.plugin,
        "outcome": outcome,
        "reason": reason,
        "took_us": report.took_us,
        "memory_bytes": report.memory_bytes,
        "logs": logs.collect::<Vec<_>>(),
        "before": step.before,
        "after": after,
    })
}
