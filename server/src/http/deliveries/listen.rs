//! Live stream of delivery attempts as Server-Sent Events.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use bytes::Bytes;
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior};

use crate::http::edge::answer::Answer;
use crate::http::edge::auth::{Access, Read, Standing};
use crate::http::edge::error::{Code, Problem};
use crate::http::edge::path::Query;
use crate::live_stream::{Filter, Heard, Listener, Message, NoListener};
use crate::model::{Attempt, DeliveryId, EventId, EventType, Millis, State, TypeFilter, WebhookId};

/// Interval of heartbeats, so that proxies don't close a silent stream as dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The delivery of an attempt, as it stands after it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct LiveDelivery<'a> {
    id: DeliveryId,
    #[schema(value_type = String)]
    event_id: &'a EventId,
    webhook_id: WebhookId,
    state: State,
    reason: Option<&'a str>,
    attempts: u32,
    next_attempt_at: Option<Millis>,
    subject: Option<&'a str>,
}

/// The data of an event `attempt`.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct LiveView<'a> {
    delivery: LiveDelivery<'a>,
    #[schema(value_type = String)]
    event_type: &'a EventType,
    /// The webhook's name.
    webhook: &'a str,
    /// Null when it ended before there was anything to send: `delivery.reason` says why.
    attempt: Option<&'a Attempt>,
    /// What is too long for this stream and null or empty here: `request.body`, `response.body` or
    /// `attempt`. The delivery's attempts have it.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<String>)]
    left_out: &'a [&'static str],
}

impl LiveView<'_> {
    fn of(message: &Message) -> LiveView<'_> {
        let delivery = &message.delivery;
        LiveView {
            delivery: LiveDelivery {
                id: delivery.id,
                event_id: &delivery.event.id,
                webhook_id: delivery.webhook_id,
                state: delivery.state,
                reason: delivery.reason.as_deref(),
                attempts: delivery.attempts,
                next_attempt_at: delivery.next_attempt_at,
                subject: delivery.subject.as_deref(),
            },
            event_type: &message.event_type,
            webhook: &message.webhook,
            attempt: message.attempt.as_ref(),
            left_out: &message.left_out,
        }
    }
}

/// Which attempts.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListenQuery {
    /// To this webhook.
    #[param(value_type = Option<String>)]
    webhook_id: Option<WebhookId>,
    /// Of events of this type; `a.*` for one or more further segments.
    #[param(value_type = Option<String>)]
    event_type: Option<TypeFilter>,
}

/// Listen to deliveries
///
/// Server-Sent Events (`text/event-stream`): an event `attempt` after each attempt, and each delivery
/// that ended without one, with the request as it was sent, secrets masked, and what came back. Bodies
/// longer than `tenant.listener_body_bytes_max` are left out, which `left_out` says. An event `lagged`
/// with `{"lost": 3}` ends the stream where messages come faster than they are read, and an event `ended`
/// with `{"reason": …}` when the key or the tenant is deleted. What happens on this node from now on;
/// other nodes have streams of their own.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/deliveries/stream", tag = "deliveries", params(ListenQuery),
    responses((status = 200, description = "The data of an event `attempt`", body = LiveView, content_type = "text/event-stream"))
)]
pub(crate) async fn stream(access: Access<Read>, Query(query): Query<ListenQuery>) -> Answer {
    let filter = Filter { webhook_id: query.webhook_id, event_type: query.event_type };
    let listener = access.app.live.listen(access.tenant.generation, filter);
    let listener = listener.map_err(|error| match error {
        NoListener::TooMany(_) => Problem::new(Code::Conflict, error.to_string()),
        NoListener::TooManyInAll(_) => Problem::new(Code::Busy, error.to_string()),
        NoListener::Stopping => Problem::new(Code::NotReady, error.to_string()),
    })?;
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        // Disables response buffering in nginx.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(told(listener, access.standing())))
}

struct Telling {
    listener: Listener,
    standing: Standing,
    heartbeat: Interval,
    /// The last event has been sent.
    over: bool,
}

/// Text of the stream, until the listener is too slow or has no right to it any more, the server stops, or the
/// client disconnects.
fn told(listener: Listener, standing: Standing) -> impl Stream<Item = Result<Bytes, Infallible>> {
    // The first tick fires at once, so the client learns that the stream is open.
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let telling = Telling { listener, standing, heartbeat, over: false };
    futures_util::stream::unfold(telling, |mut telling| async move {
        let text = telling.next().await?;
        Some((Ok(text.into()), telling))
    })
}

impl Telling {
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        let heard = tokio::select! {
            biased;
            // Before anything else: what waits is not told to a key that is gone.
            reason = self.standing.ended() => {
                self.over = true;
                return Some(format!("event: ended\ndata: {}\n\n", json!({"reason": reason})));
            }
            heard = self.listener.hear() => heard,
            _ = self.heartbeat.tick() => return Some(": listening\n\n".to_owned()),
        };
        match heard {
            Heard::Message(queued) => Some(event_of(&queued.message)),
            Heard::Lagged(count) => {
                self.over = true;
                Some(format!("event: lagged\ndata: {}\n\n", json!({"lost": count})))
            }
            Heard::End => None,
        }
    }
}

/// A Server-Sent Event; its id consists of the delivery's id and the attempt's number.
fn event_of(message: &Message) -> String {
    let (id, attempts) = (message.delivery.id, message.delivery.attempts);
    let mut text = format!("event: attempt\nid: {id}-{attempts}\n");
    // `serde_json` writes no line breaks.
    if let Ok(data) = serde_json::to_string(&LiveView::of(message)) {
        let _ = write!(text, "data: {data}\n\n");
    }
    text
}
