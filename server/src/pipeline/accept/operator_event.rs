//! Operator events about webhooks, in their tenant's own stream: `antar.webhook.failing` and
//! `antar.webhook.disabled`. They go to webhooks that subscribe to them by name, and never to the one
//! they are about.

use antar_json::Builder;

use super::intake::Draft;
use crate::model::{Hops, Millis};
use crate::pipeline::compiled::webhook::Webhook;

/// A change of a webhook that its tenant is notified of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OperatorEvent {
    /// Halfway to being disabled.
    Failing {
        since: Millis,
    },
    Disabled {
        why: String,
    },
}

/// Builds the event. Its id is the same on whichever node detects the change.
#[must_use]
pub fn draft(
    webhook: &Webhook,
    event: &OperatorEvent,
    now: Millis,
    disables_at: impl Fn(Millis) -> Millis,
) -> Option<Draft> {
    let mut out = Builder::new();
    out.object().key("webhook").object();
    out.key("id").string(&webhook.id.to_string()).key("name").string(&webhook.spec.name).end();
    let (kind, of) = match event {
        OperatorEvent::Failing { since } => {
            out.key("failing_since").string(&since.to_string());
            out.key("disabled_at").string(&disables_at(*since).to_string());
            ("failing", *since)
        }
        OperatorEvent::Disabled { why } => {
            out.key("reason").string(why);
            ("disabled", webhook.updated_at)
        }
    };
    out.end();
    Some(Draft {
        id: format!("webhook-{kind}:{}:{}", webhook.id, of.0).parse().ok(),
        event_type: format!("antar.webhook.{kind}").parse().ok()?,
        timestamp: Some(now),
        attributes: Vec::new(),
        data: out.finish(),
        hops: Hops::default(),
    })
}
