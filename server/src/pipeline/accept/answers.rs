//! Answers to a post: one for each event, and the stored answer of a request with an `Idempotency-Key`.

use std::ops::Range;
use std::sync::Arc;

use crate::model::{EventId, Invalid, Millis, TenantId};
use crate::store::{Accepted as Stored, Once};

/// Result for one posted event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepted { id: EventId, duplicate: bool, deliveries: u32 },
    Refused(Invalid),
}

/// The events made from one draft, ready to be stored.
pub(crate) struct Made {
    pub(crate) id: EventId,
    /// Range in the batch.
    pub(crate) events: Range<usize>,
}

/// Builds status and body of the answer from the results of the events.
pub type AnswerOnce = Arc<dyn Fn(&[Answer]) -> (u16, String) + Send + Sync>;

/// A request with an `Idempotency-Key`.
pub struct OnceRequest {
    pub key: String,
    /// Digest of the request.
    pub request_hash: Vec<u8>,
    /// Builds status and body of the answer, which are stored with the key.
    pub answer: AnswerOnce,
}

impl OnceRequest {
    pub(crate) fn stored(
        self,
        tenant: TenantId,
        made: Arc<Vec<Result<Made, Invalid>>>,
        now: Millis,
    ) -> Once {
        let answer = self.answer;
        Once {
            tenant,
            key: self.key,
            request_hash: self.request_hash,
            now,
            answer: Box::new(move |stored| answer(&answers(&made, stored))),
        }
    }
}

pub(crate) fn answers(made: &[Result<Made, Invalid>], stored: &[Stored]) -> Vec<Answer> {
    let answer = |one: &Result<Made, Invalid>| match one {
        Err(invalid) => Answer::Refused(invalid.clone()),
        Ok(made) => {
            let stored = &stored[made.events.clone()];
            Answer::Accepted {
                id: made.id.clone(),
                duplicate: stored.iter().all(|accepted| accepted.duplicate),
                deliveries: stored.iter().map(|accepted| accepted.deliveries).sum(),
            }
        }
    };
    made.iter().map(answer).collect()
}
