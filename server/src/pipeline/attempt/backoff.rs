//! Backoff for an overloaded receiver (429 or 503): it rests, which means it gets no requests, then gets
//! one request at a time until responses succeed again. Values in, values out.

use crate::model::Millis;

/// What an attempt shows about its receiver as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Feedback {
    /// Nothing: no request was sent, or the response concerns only the delivery.
    #[default]
    Nothing,
    Fine,
    /// 429 or 503, with the time of `Retry-After` if there is one.
    TooFast {
        retry_at: Option<Millis>,
    },
    /// No response, or an unsuccessful one.
    Failed {
        answered: bool,
    },
}

/// Bounds of the rest periods.
#[derive(Clone, Copy, Debug)]
pub struct BackoffLimits {
    /// Longest rest that the backoff itself chooses.
    pub slow_ms_max: i64,
    /// Longest rest that a receiver can request.
    pub retry_after_ms_max: i64,
}

/// Shortest rest that the backoff itself chooses.
const SLOW_MS_MIN: i64 = 1_000;

/// Backoff state of one receiver. The default is full speed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backoff {
    /// Length of a rest: doubled after a rest that was too short, halved after one that was long
    /// enough and with each success; 0: full speed.
    backoff_ms: i64,
    rests_until: Millis,
}

impl Backoff {
    /// Whether the receiver gets one request at a time.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.backoff_ms > 0
    }

    /// No request is sent before this time.
    #[must_use]
    pub fn rests_until(&self) -> Millis {
        self.rests_until
    }

    /// Ends the rest `by_ms` earlier after the clock was set back.
    pub fn set_back(&mut self, by_ms: i64) {
        self.rests_until = self.rests_until.plus_ms(-by_ms);
    }

    /// Applies the feedback of an attempt that ended at `now`.
    pub fn observe(&mut self, feedback: Feedback, now: Millis, limits: BackoffLimits) {
        match feedback {
            Feedback::Nothing | Feedback::Failed { .. } => {}
            Feedback::Fine => {
                let halved = self.backoff_ms / 2;
                self.backoff_ms = if halved < SLOW_MS_MIN { 0 } else { halved };
            }
            Feedback::TooFast { retry_at } => self.slow_down(retry_at, now, limits),
        }
    }

    fn slow_down(&mut self, retry_at: Option<Millis>, now: Millis, limits: BackoffLimits) {
        let max = limits.slow_ms_max.max(SLOW_MS_MIN);
        let rested_ms = now.0.saturating_sub(self.rests_until.0);
        // Responses to requests sent before the rest began count as the same complaint.
        if rested_ms >= 0 {
            let went_well = rested_ms >= self.backoff_ms;
            let next = if went_well { self.backoff_ms / 2 } else { self.backoff_ms * 2 };
            self.backoff_ms = next.clamp(SLOW_MS_MIN, max);
            self.rests_until = now.plus_ms(self.backoff_ms);
        }
        if let Some(asked) = retry_at {
            let asked = asked.min(now.plus_ms(limits.retry_after_ms_max));
            self.rests_until = self.rests_until.max(asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BackoffLimits =
        BackoffLimits { slow_ms_max: 60_000, retry_after_ms_max: 600_000 };
    const TOO_FAST: Feedback = Feedback::TooFast { retry_at: None };

    fn observed(backoff: &mut Backoff, feedback: Feedback, now: i64) -> i64 {
        backoff.observe(feedback, Millis(now), LIMITS);
        backoff.rests_until().0
    }

    #[test]
    fn rests_grow_while_they_are_too_short_and_shrink_with_good_answers() {
        let mut backoff = Backoff::default();
        let mut now = 1_000_000;
        let mut rests = Vec::new();
        for _ in 0..8 {
            let until = observed(&mut backoff, TOO_FAST, now);
            rests.push(until - now);
            now = until;
        }
        assert_eq!(rests, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        for _ in 0..6 {
            assert!(backoff.is_slow());
            observed(&mut backoff, Feedback::Fine, now);
        }
        assert!(!backoff.is_slow());
        assert_eq!(observed(&mut backoff, TOO_FAST, now) - now, 1_000);
    }

    #[test]
    fn what_was_under_way_when_the_rest_began_counts_once() {
        let mut backoff = Backoff::default();
        let first = observed(&mut backoff, TOO_FAST, 5_000);
        for now in [5_001, 5_010, 5_999] {
            assert_eq!(observed(&mut backoff, TOO_FAST, now), first);
        }
    }

    #[test]
    fn a_complaint_after_a_quiet_time_is_a_new_one() {
        let mut backoff = Backoff::default();
        assert_eq!(observed(&mut backoff, TOO_FAST, 10_000), 11_000);
        assert_eq!(observed(&mut backoff, TOO_FAST, 12_000), 13_000);
        assert_eq!(observed(&mut backoff, TOO_FAST, 19_000), 20_000);
    }

    #[test]
    fn a_receiver_may_ask_for_more_but_not_for_ever() {
        let mut backoff = Backoff::default();
        let hints = |at| Feedback::TooFast { retry_at: Some(Millis(at)) };
        assert_eq!(observed(&mut backoff, hints(30_000), 10_000), 30_000);
        // A later response that requests less does not shorten the rest.
        assert_eq!(observed(&mut backoff, hints(12_000), 10_500), 30_000);
        assert_eq!(observed(&mut backoff, hints(i64::MAX), 40_000), 640_000);
    }
}
