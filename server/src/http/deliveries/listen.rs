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
use crate::http::edge::auth::{Access, Read};
use crate::http::edge::error::{Code, Problem};
use crate::http::edge::path::Query;
use crate::live_stream::{Heard, Listener, Message, NoListener};
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

impl ListenQuery {
    fn means(&self, message: &Message) -> bool {
        let event_type = message.event_type.as_str();
        self.webhook_id.is_none_or(|id| id == message.delivery.webhook_id)
            && self.event_type.as_ref().is_none_or(|filter| filter.accepts(event_type))
    }
}

/// Listen to deliveries
///
/// Server-Sent Events (`text/event-stream`): an event `attempt` after each attempt, and each delivery
/// that ended without one, with the request as it was sent, secrets masked, and what came back; an
/// event `lagged` with `{"lost": 3}` where messages came faster than they were read. What happens on
/// this node from now on; other nodes have streams of their own.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/deliveries/stream", tag = "deliveries", params(ListenQuery),
    responses((status = 200, description = "The data of an event `attempt`", body = LiveView, content_type = "text/event-stream"))
)]
pub(crate) async fn stream(access: Access<Read>, Query(query): Query<ListenQuery>) -> Answer {
    let listener = access.app.live.listen(&access.tenant.id).map_err(|error| match error {
        NoListener::TooMany(_) => Problem::new(Code::Conflict, error.to_string()),
        NoListener::Stopping => Problem::new(Code::NotReady, error.to_string()),
    })?;
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        // Disables response buffering in nginx.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(told(listener, query)))
}

struct Telling {
    listener: Listener,
    query: ListenQuery,
    heartbeat: Interval,
}

/// Text of the stream, until the server stops or the client disconnects.
fn told(listener: Listener, query: ListenQuery) -> impl Stream<Item = Result<Bytes, Infallible>> {
    // The first tick fires at once, so the client learns that the stream is open.
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let telling = Telling { listener, query, heartbeat };
    futures_util::stream::unfold(telling, |mut telling| async move {
        let text = telling.next().await?;
        Some((Ok(text.into()), telling))
    })
}

impl Telling {
    async fn next(&mut self) -> Option<String> {
        loop {
            let heard = tokio::select! {
                heard = self.listener.hear() => heard,
                _ = self.heartbeat.tick() => return Some(": listening\n\n".to_owned()),
            };
            match heard {
                Heard::Message(message) if self.query.means(&message) => {
                    return Some(event_of(&message));
                }
                Heard::Message(_) => {}
                Heard::Lost(count) => {
                    return Some(format!("event: lagged\ndata: {}\n\n", json!({"lost": count})));
                }
                Heard::End => return None,
            }
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
