//! Receiver health (circuit breaker): a receiver that has failed for long gets only probes, and in the
//! end its webhook is disabled, after a warning halfway. Values in, values out.

use super::backoff::Feedback;
use crate::model::Millis;

/// Thresholds for probing, warning and disabling.
#[derive(Clone, Copy, Debug)]
pub struct HealthLimits {
    /// Consecutive failed attempts required before only probes are sent.
    pub failures_min: u32,
    /// Duration of failure required before only probes are sent.
    pub failing_after_ms: i64,
    /// Wait before the first probe; it doubles with each failed probe.
    pub probe_ms_min: i64,
    pub probe_ms_max: i64,
    /// Duration of failure that disables the webhook; half of it triggers a warning.
    pub disable_after_ms: i64,
}

/// Health of a receiver without a success since `since`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Health {
    pub since: Millis,
    failures: u32,
    /// The tenant was warned.
    pub told: bool,
    /// The failure is recorded in the database.
    pub known: bool,
    probes: Option<Probes>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Probes {
    next_at: Millis,
    wait_ms: i64,
}

/// What the caller must do after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Consequence {
    /// Record in the database since when the receiver fails and whether it is probed.
    pub note: bool,
    /// Send only probes from now on.
    pub probes_only: bool,
    /// Half of `disable_after_ms` has passed: warn the tenant.
    pub warn: bool,
    /// All of `disable_after_ms` has passed: disable the webhook.
    pub disable: bool,
}

impl Health {
    /// State of a receiver that starts to fail at `now`; `fail` counts the first failure itself.
    #[must_use]
    pub fn new(now: Millis) -> Health {
        Health { since: now, failures: 0, told: false, known: false, probes: None }
    }

    /// State as another node or an earlier run stored it; if `probed`, the next probe is due at `now`.
    #[must_use]
    pub fn found(
        since: Millis,
        told: bool,
        probed: bool,
        now: Millis,
        limits: HealthLimits,
    ) -> Health {
        let probes = Probes { next_at: now, wait_ms: limits.probe_ms_min };
        let failures = if probed { limits.failures_min } else { 1 };
        Health { since, failures, told, known: true, probes: probed.then_some(probes) }
    }

    /// Whether only probes are sent.
    #[must_use]
    pub fn is_probed(&self) -> bool {
        self.probes.is_some()
    }

    /// When the next probe is due.
    #[must_use]
    pub fn probe_at(&self) -> Option<Millis> {
        Some(self.probes?.next_at)
    }

    /// Moves all times back by `by_ms` after the clock was set back.
    pub fn set_back(&mut self, by_ms: i64) {
        self.since = self.since.plus_ms(-by_ms);
        if let Some(probes) = &mut self.probes {
            probes.next_at = probes.next_at.plus_ms(-by_ms);
        }
    }

    /// Notes that a probe is sent at `now`, and schedules the next one in case no result arrives.
    pub fn probe(&mut self, now: Millis, limits: HealthLimits) {
        if let Some(probes) = &mut self.probes {
            probes.wait_ms = (probes.wait_ms * 2).min(limits.probe_ms_max);
            probes.next_at = now.plus_ms(probes.wait_ms);
        }
    }

    /// Stops probing because no delivery waits that could be the probe: the next delivery is sent
    /// normally, and if it fails, probing resumes.
    pub fn trust_once(&mut self) {
        self.probes = None;
    }

    /// Counts a failure. On a success the caller discards the `Health` instead.
    pub fn fail(&mut self, now: Millis, limits: HealthLimits) -> Consequence {
        self.failures = self.failures.saturating_add(1);
        let failing_ms = now.0.saturating_sub(self.since.0);
        if failing_ms >= limits.disable_after_ms {
            return Consequence { disable: true, ..Consequence::default() };
        }
        let long = failing_ms >= limits.failing_after_ms;
        let probes_only = long && self.failures >= limits.failures_min && self.probes.is_none();
        if probes_only {
            let wait_ms = limits.probe_ms_min;
            self.probes = Some(Probes { next_at: now.plus_ms(wait_ms), wait_ms });
        }
        let warn = failing_ms >= limits.disable_after_ms / 2 && !self.told;
        let note = (long && !self.known) || probes_only;
        self.told |= warn;
        self.known |= note;
        Consequence { note, probes_only, warn, disable: false }
    }
}

/// Whether the feedback is a failure of the receiver.
#[must_use]
pub fn failed(feedback: Feedback) -> bool {
    matches!(feedback, Feedback::Failed { .. } | Feedback::TooFast { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * 60 * MINUTE;
    const LIMITS: HealthLimits = HealthLimits {
        failures_min: 3,
        failing_after_ms: 5 * MINUTE,
        probe_ms_min: MINUTE,
        probe_ms_max: 30 * MINUTE,
        disable_after_ms: 5 * DAY,
    };

    #[test]
    fn many_failures_or_a_long_time_alone_bring_no_probes() {
        let mut many = Health::new(Millis(0));
        for _ in 0..1_000 {
            assert_eq!(many.fail(Millis(1), LIMITS), Consequence::default());
        }
        let mut rare = Health::new(Millis(0));
        rare.fail(Millis(0), LIMITS);
        let second = rare.fail(Millis(DAY), LIMITS);
        assert_eq!(second, Consequence { note: true, ..Consequence::default() });
        assert!(!rare.is_probed());
        let third = rare.fail(Millis(DAY + 1), LIMITS);
        assert!(third.probes_only && rare.is_probed());
    }

    #[test]
    fn probes_come_at_growing_intervals() {
        let mut health = Health::new(Millis(0));
        for now in [0, 1, 5 * MINUTE] {
            health.fail(Millis(now), LIMITS);
        }
        let mut waits = Vec::new();
        let mut now = Millis(5 * MINUTE);
        for _ in 0..8 {
            let at = health.probe_at().unwrap();
            waits.push((at.0 - now.0) / MINUTE);
            now = at;
            health.probe(now, LIMITS);
            health.fail(now, LIMITS);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn one_warning_halfway_and_then_the_end() {
        let mut health = Health::new(Millis(0));
        let mut told = Vec::new();
        for hour in 0..=120 {
            let now = Millis(hour * 60 * MINUTE);
            let Consequence { warn, disable, .. } = health.fail(now, LIMITS);
            if warn || disable {
                told.push((hour, warn, disable));
            }
        }
        assert_eq!(told, [(60, true, false), (120, false, true)]);
    }
}
