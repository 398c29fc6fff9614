//! Turns the result of an attempt into the record to store and the feedback about its receiver.

use super::backoff::Feedback;
use super::job::Job;
use super::receiver_hints::{Instruction, ReceiverHints};
use super::retry::{self, GivenUp, Next, Tried, Verdict};
use crate::model::{Attempt, Frozen, Millis, Stage, State};

use crate::pipeline::compiled::webhook::Webhook;
use crate::store::{FrozenRequest, Owner, Record, StoredRequest};

/// Result of an attempt: the record to store, the feedback, and in `disable` the error if the receiver
/// of this revision is gone for good.
pub struct Attempted {
    pub record: Record,
    pub disable: Option<String>,
    pub feedback: Feedback,
}

impl Attempted {
    /// Sets the stage at which the attempt ended before sending.
    pub(crate) fn at(mut self, stage: Stage) -> Attempted {
        self.record.stage = Some(stage);
        self
    }
}

/// Observations of one attempt.
pub(crate) struct Observed {
    pub(crate) attempt: Attempt,
    /// The request, if it is the first of its delivery that reached sending.
    pub(crate) frozen: Option<Frozen>,
    pub(crate) verdict: Verdict,
    pub(crate) hints: ReceiverHints,
    /// Why it was not a success.
    pub(crate) error: String,
}

impl Observed {
    /// A stage before sending failed in a way that is retried.
    pub(crate) fn not_sent(attempt: Attempt, error: String) -> Observed {
        let (verdict, hints) = (Verdict::NotSent, ReceiverHints::default());
        Observed { attempt, frozen: None, verdict, hints, error }
    }

    fn feedback(&self) -> Feedback {
        match self.verdict {
            Verdict::NotSent => Feedback::Nothing,
            Verdict::Success => Feedback::Fine,
            _ if self.hints.overloaded => Feedback::TooFast { retry_at: self.hints.retry_at },
            Verdict::Status(_) => Feedback::Failed { answered: true },
            Verdict::NoAnswer => Feedback::Failed { answered: false },
        }
    }
}

/// Turns observations into the record to store.
pub(crate) struct Outcome<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) job: &'a Job,
    pub(crate) now: Millis,
    /// Longest wait that a receiver can request.
    pub(crate) retry_after_ms_max: i64,
}

impl Outcome<'_> {
    /// Applies the retry policy. `random` returns a number from 0 to 1 for jitter.
    pub(crate) fn decide(
        &self,
        webhook: &Webhook,
        observed: Observed,
        random: impl Fn() -> f64,
    ) -> Attempted {
        let job = self.job;
        let feedback = observed.feedback();
        let Observed { mut attempt, frozen, verdict, hints, error } = observed;
        let number = attempt.number;
        attempt.error = (verdict != Verdict::Success).then(|| error.clone());
        let next = retry::decide(&Tried {
            retry: &webhook.plan.retry,
            attempts: number.saturating_sub(job.schedule_start),
            verdict,
            hints,
            retry_after_ms_max: self.retry_after_ms_max,
            now: self.now,
            // A success has no wait, so it needs no jitter.
            random: if verdict == Verdict::Success { 0.5 } else { random() },
        });
        let attempt = Some(attempt);
        let mut attempted = match next {
            Next::Delivered => self.ended(attempt, frozen, State::Delivered, None),
            Next::RetryAt { at, asked } => {
                let why = if asked { format!("{error} and asked for a wait") } else { error };
                let mut attempted = self.ended(attempt, frozen, State::Pending, Some(why));
                attempted.record.next_attempt_at = Some(at);
                attempted
            }
            Next::Failed(given_up) => {
                let why = given_up_text(given_up, hints, number, &error);
                let mut attempted = self.ended(attempt, frozen, State::Failed, Some(why));
                // A request frozen at an older revision says nothing about today's receiver.
                let made_at = job.frozen.as_ref().map_or(webhook.revision, StoredRequest::revision);
                let disable = given_up == GivenUp::Gone && made_at == webhook.revision;
                attempted.disable = disable.then_some(error);
                attempted
            }
        };
        attempted.feedback = feedback;
        attempted
    }

    pub(crate) fn ended(
        &self,
        attempt: Option<Attempt>,
        frozen: Option<Frozen>,
        to: State,
        reason: Option<String>,
    ) -> Attempted {
        let Outcome { owner, job, now, .. } = *self;
        let record = Record {
            delivery_id: job.delivery_id,
            owner: owner.clone(),
            attempt,
            frozen: frozen.map(|frozen| FrozenRequest::new(frozen, &job.event)),
            to,
            reason,
            stage: Some(Stage::Deliver),
            next_attempt_at: None,
            ordered: job.ordered,
            can_wait: false,
            now,
        };
        Attempted { record, disable: None, feedback: Feedback::Nothing }
    }
}

/// Why a delivery failed, as a sentence.
fn given_up_text(given_up: GivenUp, hints: ReceiverHints, number: u32, error: &str) -> String {
    let attempts = if number == 1 { "1 attempt".to_owned() } else { format!("{number} attempts") };
    let more = match (given_up, hints.instruction) {
        (GivenUp::Spent, _) => "",
        (GivenUp::NotRetried, _) => "; the webhook's `retry` does not try that again",
        (GivenUp::Aborted, _) => " and wants no more attempts of this delivery",
        (GivenUp::Gone, Some(Instruction::Disable)) => " and wants no more deliveries",
        (GivenUp::Gone, _) => " and is gone",
    };
    format!("gave up after {attempts}: {error}{more}")
}
