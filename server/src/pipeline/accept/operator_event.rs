//! Events about webhooks, in their tenant's own stream: `antar.webhook.failing` and
//! `antar.webhook.disabled`. They go to webhooks that name them, and never to the one they are about.

use antar_json::Builder;

use super::intake::Draft;
use crate::model::{Event, EventType, Millis, WebhookId};
use crate::pipeline::compiled::webhook::Webhook;

/// What a tenant is told of a webhook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OperatorEvent {
    /// Halfway to its end.
    Failing {
        since: Millis,
    },
    Disabled {
        why: String,
    },
}

/// The event. It is the same, and so its id, whichever node finds it out.
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
    })
}

/// The webhook that an event is about, if it is one of these.
#[must_use]
pub fn about(event: &Event) -> Option<WebhookId> {
    if !is_own(&event.event_type) {
        return None;
    }
    event.data().at("webhook.id")?.as_str()?.parse().ok()
}

/// Whether a type is Antar's own: nobody else posts such events, and `*` does not mean them.
#[must_use]
pub fn is_own(event_type: &EventType) -> bool {
    event_type.as_str().starts_with(crate::model::OWN_TYPES)
}
