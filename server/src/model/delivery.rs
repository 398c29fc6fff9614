//! Deliveries (one event on its way to one webhook), their states and attempts.

use antar_template::Piece;
use serde::{Deserialize, Serialize};

use super::{DeliveryId, EventKey, Fields, Method, Millis, WebhookId};

/// Where a delivery stands. Moves are compare-and-set on state and owner.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its time, or is held (then `next_attempt_at` is null and `reason` says why).
    Pending,
    /// Owned by a node.
    InFlight,
    Delivered,
    /// A plugin dropped it; `reason` is the plugin's.
    Dropped,
    /// Given up.
    Failed,
    Cancelled,
    /// Its webhook was disabled when the event came.
    Missed,
}

impl State {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::InFlight => "in_flight",
            State::Delivered => "delivered",
            State::Dropped => "dropped",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Missed => "missed",
        }
    }
}

impl std::str::FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<State, String> {
        Ok(match text {
            "pending" => State::Pending,
            "in_flight" => State::InFlight,
            "delivered" => State::Delivered,
            "dropped" => State::Dropped,
            "failed" => State::Failed,
            "cancelled" => State::Cancelled,
            "missed" => State::Missed,
            _ => {
                return Err(format!(
                    "`{text}`: a state is pending, in_flight, delivered, dropped, failed, cancelled or missed"
                ));
            }
        })
    }
}

/// A stage of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Transform,
    Render,
    Sign,
    Deliver,
}

impl Stage {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Transform => "transform",
            Stage::Render => "render",
            Stage::Sign => "sign",
            Stage::Deliver => "deliver",
        }
    }
}

/// Reasons that code compares; all others are sentences for people.
pub mod reason {
    pub const WEBHOOK_DISABLED: &str = "webhook_disabled";
    pub const WEBHOOK_PAUSED: &str = "webhook_paused";
    /// Its receiver has failed for long and gets only probes.
    pub const WEBHOOK_FAILING: &str = "webhook_failing";
    /// A plugin failed too often; the delivery waits for it.
    pub const PLUGIN_PAUSED: &str = "plugin_paused";
    /// There is no room for it now: large work, large requests or plugin calls are under way.
    pub const SERVER_BUSY: &str = "server_busy";
    /// The receiver reported overload, and rests.
    pub const RECEIVER_BUSY: &str = "receiver_busy";
    /// An earlier delivery with the same order key is still open.
    pub const WAITS_IN_ORDER: &str = "waits_in_order";
    /// Whether its webhook wants the event took too many steps to tell.
    pub const BUDGET_EXCEEDED: &str = "budget_exceeded";
    pub const WEBHOOK_DELETED: &str = "webhook_deleted";
    pub const CANCELLED: &str = "cancelled";
}

/// A delivery without its request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    pub id: DeliveryId,
    pub event: EventKey,
    pub webhook_id: WebhookId,
    pub state: State,
    pub reason: Option<String>,
    /// Where it was decided: `route`; or where its last attempt ended: `transform`, `render`, `sign` or `deliver`.
    pub stage: Option<String>,
    /// Attempts made so far.
    pub attempts: u32,
    pub next_attempt_at: Option<Millis>,
    pub created_at: Millis,
    /// `attributes.subject` of the event.
    pub subject: Option<String>,
    /// Deliveries with the same key are sent one after the other.
    pub order_key: Option<String>,
}

/// A header with markers in place of secrets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FrozenHeader {
    pub name: String,
    pub value: Vec<Piece>,
}

/// The request that every attempt of a delivery sends: method, URL, headers (without signatures and without
/// those that use `antar.attempt`) and body, with markers in place of named secrets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Frozen {
    /// Revision of the webhook that the request was made from.
    #[serde(default)]
    pub revision: u32,
    pub method: Method,
    pub url: Vec<Piece>,
    pub headers: Vec<FrozenHeader>,
    /// None: no body at all (GET without a custom one).
    pub body: Option<Vec<Piece>>,
    /// Template tokens that did not resolve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unresolved: Vec<String>,
}

/// A request as it was sent, secrets masked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SentRequest {
    pub method: String,
    pub url: String,
    /// By name; names in lower case.
    #[schema(value_type = Object)]
    pub headers: Fields,
    /// Null when the request had none.
    pub body: Option<String>,
}

/// What came back. Bodies that are no UTF-8 are read with replacement characters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Response {
    pub status: u16,
    #[schema(value_type = Object)]
    pub headers: Fields,
    /// The first 64 KiB.
    pub body: String,
    /// True when there was more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// One try of a delivery.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Attempt {
    /// Counts from 1 over the life of the delivery.
    pub number: u32,
    /// The webhook's revision that was used.
    pub revision: u32,
    pub started_at: Millis,
    pub took_ms: u64,
    /// Null when a stage before sending failed.
    pub request: Option<SentRequest>,
    /// Null when no answer came.
    pub response: Option<Response>,
    /// Why it was no success; null when it was one.
    pub error: Option<String>,
    /// Template tokens that did not resolve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unresolved: Vec<String>,
}
