//! Ends of an attempt before it has a request.

use super::render::CannotRender;
use super::request_memory::NoMemory;
use crate::model::{Stage, reason};
use crate::work_pool::NotDone;

/// How long a delivery waits when too much large work of its tenant does, or its requests take too much memory.
const BUSY_MS: u64 = 1_000;

/// Why there is no request to send.
pub(crate) enum NoRequest {
    Dropped(String),
    Failed(String),
    Retry {
        stage: Stage,
        error: String,
        unresolved: Vec<String>,
    },
    /// Retried without counting an attempt.
    Held {
        /// A code of [`reason`].
        why: &'static str,
        error: String,
        retry_in_ms: u64,
    },
}

impl NoRequest {
    pub(crate) fn retry(stage: Stage, error: String) -> NoRequest {
        NoRequest::Retry { stage, error, unresolved: Vec::new() }
    }

    fn busy(error: String) -> NoRequest {
        NoRequest::Held { why: reason::SERVER_BUSY, error, retry_in_ms: BUSY_MS }
    }

    /// A sentence about it, and the unresolved tokens of the templates.
    pub(crate) fn explained(self) -> (String, Vec<String>) {
        match self {
            NoRequest::Dropped(reason) => (format!("dropped by {reason}"), Vec::new()),
            NoRequest::Failed(error) | NoRequest::Held { error, .. } => (error, Vec::new()),
            NoRequest::Retry { error, unresolved, .. } => (error, unresolved),
        }
    }
}

impl From<NoMemory> for NoRequest {
    fn from(none: NoMemory) -> NoRequest {
        match none {
            NoMemory::Now(error) => NoRequest::busy(error),
            NoMemory::Ever(error) => NoRequest::retry(Stage::Render, error),
        }
    }
}

impl From<CannotRender> for NoRequest {
    fn from(error: CannotRender) -> NoRequest {
        let text = error.to_string();
        NoRequest::Retry { stage: Stage::Render, error: text, unresolved: error.unresolved }
    }
}

impl From<NotDone> for NoRequest {
    fn from(error: NotDone) -> NoRequest {
        match error {
            NotDone::Panicked => NoRequest::retry(Stage::Render, error.to_string()),
            NotDone::Full { .. } | NotDone::TenantFull { .. } => NoRequest::busy(error.to_string()),
        }
    }
}
