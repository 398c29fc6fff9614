//! Replays: sending stored events again.

use antar_json::Document;
use serde::{Deserialize, Serialize};

use super::{EventId, Millis, ReplayId, State, TenantId, TypeFilter, WebhookId};

/// Where a replay stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplayState {
    /// A node is at it, or the next one to take it over will be.
    Running,
    /// All that was selected has its new delivery.
    Done,
    /// By hand; what it made by then goes on.
    Stopped,
    /// It could not go on; `error` says why.
    Failed,
}

impl ReplayState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ReplayState::Running => "running",
            ReplayState::Done => "done",
            ReplayState::Stopped => "stopped",
            ReplayState::Failed => "failed",
        }
    }
}

impl std::str::FromStr for ReplayState {
    type Err = String;

    fn from_str(text: &str) -> Result<ReplayState, String> {
        Ok(match text {
            "running" => ReplayState::Running,
            "done" => ReplayState::Done,
            "stopped" => ReplayState::Stopped,
            "failed" => ReplayState::Failed,
            _ => return Err(format!("`{text}` is no state of a replay")),
        })
    }
}

/// What a replay goes through, oldest first.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayOf {
    /// Deliveries of the webhook in this state; none: in any state.
    Deliveries { state: Option<State> },
    /// The tenant's events that match the webhook as it is configured now; `only_new`: those that never had a
    /// delivery to it.
    Events { only_new: bool },
    /// These events.
    Listed { event_ids: Vec<EventId> },
}

/// Which events are sent again. An event is sent once, however often it is selected.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Selection {
    pub of: ReplayOf,
    /// Deliveries created, or events accepted, at this time or after.
    pub since: Option<Millis>,
    /// Deliveries created, or events accepted, before this time. Never later than the replay's own start.
    pub until: Millis,
    /// `attributes.subject` of the event.
    pub subject: Option<String>,
    /// Any of these; empty: all.
    pub event_types: Vec<TypeFilter>,
    /// An event pattern that parses.
    pub rule: Option<Document>,
}

/// One replay.
#[derive(Clone, PartialEq, Debug)]
pub struct Replay {
    pub id: ReplayId,
    pub tenant: TenantId,
    pub webhook_id: WebhookId,
    pub selection: Selection,
    pub state: ReplayState,
    /// Deliveries created per second.
    pub pace_per_s: u32,
    /// Events that were selected at the start.
    pub total: u64,
    /// False: counting took too long, and `total` is the count up to then.
    pub exact: bool,
    /// Deliveries created.
    pub made: u64,
    /// Candidates examined and left out.
    pub skipped: u64,
    /// Where to continue, exclusive; empty at the start.
    pub position: String,
    pub error: Option<String>,
    pub started_at: Millis,
    pub ended_at: Option<Millis>,
}
