//! Whether and when to try again: a decision from values, acted on by somebody else.

use crate::model::{Millis, Retry, Statuses};

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Success,
    /// An answer that was no success.
    Status(u16),
    /// No answer, or a stage before sending that wants another try.
    NoAnswer,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Delivered,
    RetryAt(Millis),
    /// Given up. `disable`: the receiver said that it is gone for good.
    Failed {
        disable: bool,
    },
}

/// Decides after attempt number `attempts` (the first is 1). `random` is from 0 to 1.
#[must_use]
pub fn decide(retry: &Retry, attempts: u32, verdict: &Verdict, now: Millis, random: f64) -> Next {
    match verdict {
        Verdict::Success => return Next::Delivered,
        Verdict::Status(410) => return Next::Failed { disable: true },
        Verdict::Status(status) if !retried(retry.statuses, *status) => {
            return Next::Failed { disable: false };
        }
        _ => {}
    }
    if attempts >= retry.attempts_max {
        return Next::Failed { disable: false };
    }
    Next::RetryAt(now.plus_ms(wait_ms(retry, attempts, random)))
}

fn retried(statuses: Statuses, status: u16) -> bool {
    match statuses {
        Statuses::Default => true,
        Statuses::Transient => matches!(status, 408 | 425 | 429 | 500..=599),
    }
}

/// The wait after attempt number `attempts`; the last one of the schedule repeats.
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

    fn retry(jitter: f64) -> Retry {
        Retry { schedule_s: vec![5, 300], attempts_max: 4, jitter, statuses: Statuses::Default }
    }

    #[test]
    fn the_last_wait_repeats_until_attempts_max() {
        let waits: Vec<_> = (1..=4)
            .map(|n| decide(&retry(0.0), n, &Verdict::Status(500), Millis(0), 0.3))
            .collect();
        let at = |ms| Next::RetryAt(Millis(ms));
        assert_eq!(waits, [at(5_000), at(300_000), at(300_000), Next::Failed { disable: false }]);
    }

    #[test]
    fn jitter_goes_both_ways() {
        let wait = |random| decide(&retry(0.1), 1, &Verdict::NoAnswer, Millis(0), random);
        assert_eq!(wait(0.0), Next::RetryAt(Millis(4_500)));
        assert_eq!(wait(1.0), Next::RetryAt(Millis(5_500)));
    }

    #[test]
    fn gone_disables_and_transient_gives_up_on_client_errors() {
        let decide =
            |retry: &Retry, status| decide(retry, 1, &Verdict::Status(status), Millis(0), 0.0);
        assert_eq!(decide(&retry(0.0), 410), Next::Failed { disable: true });
        let transient = Retry { statuses: Statuses::Transient, ..retry(0.0) };
        assert_eq!(decide(&transient, 404), Next::Failed { disable: false });
        assert_eq!(decide(&transient, 429), Next::RetryAt(Millis(5_000)));
        assert_eq!(decide(&retry(0.0), 404), Next::RetryAt(Millis(5_000)));
    }
}
