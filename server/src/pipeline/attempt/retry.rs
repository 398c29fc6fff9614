//! Retry policy: decides from values whether and when to try again; the caller acts on the decision.

use super::receiver_hints::{Instruction, ReceiverHints};
use crate::model::{Millis, Retry};

/// How an attempt ended, as far as retries are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Success,
    /// An unsuccessful response.
    Status(u16),
    /// No response.
    NoAnswer,
    /// A stage before sending failed in a way that is retried.
    NotSent,
}

/// Inputs of the decision.
#[derive(Clone, Copy, Debug)]
pub struct Tried<'a> {
    pub retry: &'a Retry,
    /// The number of the attempt in its schedule; the first is 1.
    pub attempts: u32,
    pub verdict: Verdict,
    pub hints: ReceiverHints,
    /// Longest wait that a receiver can request.
    pub retry_after_ms_max: i64,
    pub now: Millis,
    /// From 0 to 1, for jitter.
    pub random: f64,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Delivered,
    /// `asked`: later than scheduled, because the receiver requested it with `Retry-After`.
    RetryAt {
        at: Millis,
        asked: bool,
    },
    /// Given up.
    Failed(GivenUp),
}

/// Why there is no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// All attempts of the schedule are used up.
    Spent,
    /// The webhook's `retry` does not cover this result.
    NotRetried,
    /// The receiver aborted this delivery.
    Aborted,
    /// The receiver reports that it is gone for good: the webhook is disabled.
    Gone,
}

/// Decides what to do after an attempt.
#[must_use]
pub fn decide(tried: &Tried<'_>) -> Next {
    let Tried { retry, attempts, verdict, hints, now, .. } = *tried;
    let retried = match verdict {
        Verdict::Success => return Next::Delivered,
        Verdict::Status(410) => return Next::Failed(GivenUp::Gone),
        Verdict::Status(status) => retry.statuses.retries(status),
        Verdict::NoAnswer => retry.network,
        Verdict::NotSent => true,
    };
    match hints.instruction {
        Some(Instruction::Disable) => return Next::Failed(GivenUp::Gone),
        Some(Instruction::Abort) => return Next::Failed(GivenUp::Aborted),
        None if !retried => return Next::Failed(GivenUp::NotRetried),
        None => {}
    }
    if attempts >= retry.attempts_max {
        return Next::Failed(GivenUp::Spent);
    }
    let scheduled = now.plus_ms(wait_ms(retry, attempts, tried.random));
    let asked = hints.retry_at.map(|at| at.min(now.plus_ms(tried.retry_after_ms_max)));
    match asked {
        Some(at) if at > scheduled => Next::RetryAt { at, asked: true },
        _ => Next::RetryAt { at: scheduled, asked: false },
    }
}

/// The wait after attempt number `attempts`; the last wait of the schedule repeats.
#[expect(clippy::cast_possible_truncation, reason = "schedule waits are u32 seconds")]
fn wait_ms(retry: &Retry, attempts: u32, random: f64) -> i64 {
    let place = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait_s = retry.schedule_s.get(place).or(retry.schedule_s.last()).copied().unwrap_or(0);
    let spread = 1.0 + retry.jitter * (2.0 * random - 1.0);
    (f64::from(wait_s) * 1000.0 * spread) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{StatusFilter, Statuses};

    fn retry(jitter: f64) -> Retry {
        let (schedule_s, statuses) = (vec![5, 300], Statuses::Default);
        Retry { schedule_s, attempts_max: 4, jitter, statuses, network: true }
    }

    fn tried(retry: &Retry, verdict: Verdict) -> Tried<'_> {
        Tried {
            retry,
            attempts: 1,
            verdict,
            hints: ReceiverHints::default(),
            retry_after_ms_max: 3_600_000,
            now: Millis(0),
            random: 0.5,
        }
    }

    fn at(ms: i64) -> Next {
        Next::RetryAt { at: Millis(ms), asked: false }
    }

    #[test]
    fn the_last_wait_repeats_until_attempts_max() {
        let retry = retry(0.0);
        let after = |attempts| decide(&Tried { attempts, ..tried(&retry, Verdict::Status(500)) });
        let spent = Next::Failed(GivenUp::Spent);
        assert_eq!([1, 2, 3, 4].map(after), [at(5_000), at(300_000), at(300_000), spent]);
    }

    #[test]
    fn jitter_goes_both_ways() {
        let retry = retry(0.1);
        let wait = |random| decide(&Tried { random, ..tried(&retry, Verdict::NoAnswer) });
        assert_eq!((wait(0.0), wait(1.0)), (at(4_500), at(5_500)));
    }

    #[test]
    fn gone_disables_and_transient_gives_up_on_client_errors() {
        let default = retry(0.0);
        let status = |retry: &Retry, status| decide(&tried(retry, Verdict::Status(status)));
        assert_eq!(status(&default, 410), Next::Failed(GivenUp::Gone));
        assert_eq!(status(&default, 404), at(5_000));
        let transient = Retry { statuses: Statuses::Transient, ..retry(0.0) };
        assert_eq!(status(&transient, 404), Next::Failed(GivenUp::NotRetried));
        assert_eq!(status(&transient, 429), at(5_000));
    }

    #[test]
    fn a_list_and_the_network_are_chosen_apart() {
        let statuses = Statuses::Only(vec![StatusFilter::Code(429), StatusFilter::Class(5)]);
        let listed = Retry { statuses, network: false, ..retry(0.0) };
        let after = |verdict| decide(&tried(&listed, verdict));
        assert_eq!(after(Verdict::Status(502)), at(5_000));
        assert_eq!(after(Verdict::Status(404)), Next::Failed(GivenUp::NotRetried));
        assert_eq!(after(Verdict::NoAnswer), Next::Failed(GivenUp::NotRetried));
        assert_eq!(after(Verdict::NotSent), at(5_000), "nothing was said of the receiver");
    }

    #[test]
    fn the_later_of_schedule_and_retry_after_counts_up_to_the_cap() {
        let retry = retry(0.0);
        let asking = |ms| {
            let hints = ReceiverHints { retry_at: Some(Millis(ms)), ..ReceiverHints::default() };
            decide(&Tried { hints, ..tried(&retry, Verdict::Status(429)) })
        };
        assert_eq!(asking(1_000), at(5_000), "never earlier than the schedule");
        assert_eq!(asking(90_000), Next::RetryAt { at: Millis(90_000), asked: true });
        let capped = Next::RetryAt { at: Millis(3_600_000), asked: true };
        assert_eq!(asking(i64::MAX), capped);
    }

    #[test]
    fn a_receiver_can_end_it() {
        let retry = retry(0.0);
        let ordering = |instruction, verdict| {
            let hints =
                ReceiverHints { instruction: Some(instruction), ..ReceiverHints::default() };
            decide(&Tried { hints, ..tried(&retry, verdict) })
        };
        let failed = Verdict::Status(500);
        assert_eq!(ordering(Instruction::Disable, failed), Next::Failed(GivenUp::Gone));
        assert_eq!(ordering(Instruction::Abort, failed), Next::Failed(GivenUp::Aborted));
        assert_eq!(ordering(Instruction::Disable, Verdict::Success), Next::Delivered);
    }

    /// For any hint and random number: never before the schedule, never after both schedule and cap.
    #[test]
    fn bounds_hold_for_all_values() {
        let retry = retry(1.0);
        for step in 0..2_000_i64 {
            let random = f64::from(u32::try_from(step % 101).unwrap()) / 100.0;
            let hints =
                ReceiverHints { retry_at: Some(Millis(step * 7_919)), ..ReceiverHints::default() };
            let scheduled = wait_ms(&retry, 1, random);
            let tried = Tried { hints, random, ..tried(&retry, Verdict::Status(503)) };
            let Next::RetryAt { at, .. } = decide(&tried) else { panic!("{tried:?}") };
            assert!(at.0 >= scheduled && at.0 <= scheduled.max(3_600_000), "{tried:?}: {at}");
        }
    }
}
