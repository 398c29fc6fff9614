//! What a poster is told, for each event and for a request that may be repeated.

use std::ops::Range;
use std::sync::Arc;

use crate::model::{EventId, Invalid, Millis, TenantId};
use crate::store::{Accepted as Stored, Once};

/// What became of one posted event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepted { id: EventId, duplicate: bool, deliveries: u32 },
    Refused(Invalid),
}

/// Events that one draft became, ready to be stored.
pub(crate) struct Made {
    pub(crate) id: EventId,
    /// Range in the batch.
    pub(crate) events: Range<usize>,
}

/// Status and body for what became of the events.
pub type AnswerOnce = Arc<dyn Fn(&[Answer]) -> (u16, String) + Send + Sync>;

/// A request with an `Idempotency-Key`.
pub struct OnceRequest {
    pub key: String,
    /// Digest of the request.
    pub request_hash: Vec<u8>,
    /// Makes status and body of the answer, which are kept with the key.
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
