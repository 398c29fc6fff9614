//! Explains why an event was delivered to a webhook, or why not.

use antar_json::{OutOfSteps, Steps};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::model::{Delivery, Event, EventId, Millis, State, reason};
use crate::pipeline::compiled::webhook::Webhook;

/// What became of an event at one webhook.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Explanation {
    #[schema(value_type = String)]
    pub webhook_id: crate::model::WebhookId,
    /// The webhook's name.
    pub name: String,
    /// The delivery's state; `not_wanted`; `no_delivery` for one that would want it today; or `unknown` if that
    /// takes too many steps to tell.
    pub outcome: String,
    /// Where it was decided: `event_types`, `facets` or `rule` of `route`, or `deliver`.
    pub stage: String,
    /// A sentence.
    pub reason: Option<String>,
    #[schema(value_type = Object)]
    pub detail: Json,
}

/// Facts about a delivery that its row does not contain.
#[derive(Clone, Debug, Default)]
pub struct DeliveryContext {
    pub now: Millis,
    /// End of the backoff of its overloaded receiver.
    pub rests_until: Option<Millis>,
    /// The event whose delivery has the same order key and goes first.
    pub behind: Option<EventId>,
}

/// Explains `event` at `webhook`, given its delivery there, if it has one. The webhook's conditions may take
/// `steps`.
#[must_use]
pub fn explain(
    webhook: &Webhook,
    event: &Event,
    delivery: Option<&Delivery>,
    context: &DeliveryContext,
    steps: &Steps,
) -> Explanation {
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
            State::Missed => "route",
            _ => delivery.stage.as_deref().unwrap_or("deliver"),
        };
        let detail = json!({
            "delivery_id": delivery.id,
            "attempts": delivery.attempts,
            "next_attempt_at": delivery.next_attempt_at,
            "order_key": delivery.order_key,
            "reason": delivery.reason,
        });
        let reason = sentence(webhook, delivery, context);
        return about(delivery.state.as_str(), stage, reason, detail);
    }
    let event_type = event.event_type.as_str();
    match webhook.plan.subscription.why_not(event_type, event.document.root(), steps) {
        Err(OutOfSteps) => about(
            "unknown",
            "route",
            Some(UNDECIDED.to_owned()),
            json!({ "reason": reason::BUDGET_EXCEEDED }),
        ),
        Ok(Some(why)) => about("not_wanted", "route", Some(why.reason.clone()), json!(why)),
        Ok(None) => {
            let reason = "it would want the event today, but did not exist or had other settings \
                          when the event came; replay the event to send it";
            about("no_delivery", "route", Some(reason.to_owned()), json!({}))
        }
    }
}

const UNDECIDED: &str = "whether the webhook wants the event takes too many steps to tell \
    (intake.rule_steps_max for a webhook, intake.route_steps_max for all): its rule or facets compare too many \
    conditions with too many values of the event; make them simpler, then replay the event";

/// The state of a delivery and what to do about it, as a sentence.
fn sentence(webhook: &Webhook, delivery: &Delivery, context: &DeliveryContext) -> Option<String> {
    let now = context.now;
    let said = delivery.reason.as_deref();
    let text = match (delivery.state, said) {
        (State::Delivered, _) => match delivery.attempts {
            1 => "arrived with the first attempt".to_owned(),
            number => format!("arrived with attempt {number}"),
        },
        (State::Missed, Some(reason::WEBHOOK_DISABLED)) => {
            "the webhook was disabled when the event came; replay what it missed to send it"
                .to_owned()
        }
        (State::Pending, Some(reason::WEBHOOK_DISABLED)) => {
            let why = webhook.disabled_reason.as_deref();
            let why = why.map_or_else(String::new, |why| format!(" ({why})"));
            format!("waits, because the webhook is disabled{why}; enable it to let it go on")
        }
        (State::Pending, Some(reason::WEBHOOK_PAUSED)) => {
            "waits, because the webhook is paused; resume it to let it go on".to_owned()
        }
        (State::Pending, Some(reason::WEBHOOK_FAILING)) => {
            let since = webhook.failing_since.map_or_else(String::new, |at| format!(" since {at}"));
            format!(
                "waits, because the receiver has done nothing but fail{since} and gets one probe at \
                 a time; the first that arrives lets all go on. Save or resume the webhook to let \
                 them go now"
            )
        }
        (State::Pending, Some(reason::PLUGIN_PAUSED)) => {
            let until =
                delivery.next_attempt_at.map_or_else(String::new, |at| format!(" until {at}"));
            format!(
                "waits{until}, because a plugin of it failed too often in a row and is paused; look at the plugin"
            )
        }
        (State::Pending, Some(reason::SERVER_BUSY)) => {
            "waits a moment, because the server has no room for it: much large work of this tenant, or of its \
             requests, is under way, or no instance of a plugin is free"
                .to_owned()
        }
        (State::Pending, None | Some(reason::WAITS_IN_ORDER)) if context.behind.is_some() => {
            let event = context.behind.as_ref().map_or("", EventId::as_str);
            format!(
                "waits for the delivery of the event {event}, which has the same key and came \
                 first; that one goes on until it arrives, is given up, or has failed often enough \
                 to let others go first (`ordering`)"
            )
        }
        (State::Pending, Some(reason::RECEIVER_BUSY)) => busy(delivery.next_attempt_at),
        (State::Pending, None) if context.rests_until > delivery.next_attempt_at => {
            busy(context.rests_until)
        }
        (State::Pending, _) => match (delivery.next_attempt_at, said) {
            (Some(at), Some(why)) if at > now => {
                format!("attempt {} failed: {why}; the next one is at {at}", delivery.attempts)
            }
            (Some(at), None) if at > now => format!("waits for its attempt at {at}"),
            _ => format!("is due and waits for its turn{}", limits(webhook)),
        },
        (State::InFlight, _) => {
            format!(
                "a node has it: attempt {} is under way or waits for its turn{}",
                delivery.attempts + 1,
                limits(webhook)
            )
        }
        (State::Failed, Some(reason::BUDGET_EXCEEDED)) => UNDECIDED.to_owned(),
        (State::Cancelled, Some(reason::CANCELLED)) => {
            "cancelled by hand; retry it to send it after all".to_owned()
        }
        (State::Cancelled, Some(reason::WEBHOOK_DELETED)) => "the webhook was deleted".to_owned(),
        (_, said) => return said.map(str::to_owned),
    };
    Some(text)
}

fn busy(until: Option<Millis>) -> String {
    let until = until.map_or_else(String::new, |at| format!(" until {at}"));
    format!(
        "waits{until}, because the receiver answered another delivery with 429 or 503 and has a rest"
    )
}

/// The limits that may keep a due delivery waiting.
fn limits(webhook: &Webhook) -> String {
    let limits = &webhook.spec.limits;
    let rate = limits.rate_per_s.map(|rate| format!("{rate} starts per second"));
    let share = limits.share.as_ref().map(|share| format!("shared by all of `{share}`"));
    let at_once = format!("{} under way at once", webhook.plan.in_flight_max);
    let parts: Vec<String> = [Some(at_once), rate, share].into_iter().flatten().collect();
    format!(" (its limits: {})", parts.join(", "))
}
