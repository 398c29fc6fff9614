//! Whether a receiver works at all: one that has failed for long gets probes only, and in the end
//! its webhook is disabled, after a warning halfway. Values in, values out.

use super::backoff::Feedback;
use crate::model::Millis;

/// When what happens.
#[derive(Clone, Copy, Debug)]
pub struct HealthLimits {
    /// Attempts in a row that have failed before only probes go out.
    pub failures_min: u32,
    /// For how long it must have failed.
    pub failing_after_ms: i64,
    /// The wait before the first probe; it doubles with each that fails.
    pub probe_ms_min: i64,
    pub probe_ms_max: i64,
    /// Nothing but failures for so long disables the webhook; half of it warns.
    pub disable_after_ms: i64,
}

/// A receiver that has done nothing but fail since `since`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Health {
    pub since: Millis,
    failures: u32,
    /// The tenant was told.
    pub told: bool,
    /// The database knows of it.
    pub known: bool,
    probes: Option<Probes>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Probes {
    next_at: Millis,
    wait_ms: i64,
}

/// What a failure leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Consequence {
    /// It fails for long: the database is to know since when.
    pub note: bool,
    /// From now on only probes go out.
    pub probes_only: bool,
    /// Half of the time is over.
    pub warn: bool,
    /// All of it is.
    pub disable: bool,
}

impl Health {
    /// After the first failure.
    #[must_use]
    pub fn new(now: Millis) -> Health {
        Health { since: now, failures: 0, told: false, known: false, probes: None }
    }

    /// As another node, or an earlier run, left it: a probe goes out at `now`.
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

    /// Only probes go out.
    #[must_use]
    pub fn is_probed(&self) -> bool {
        self.probes.is_some()
    }

    /// When the next probe goes out.
    #[must_use]
    pub fn probe_at(&self) -> Option<Millis> {
        Some(self.probes?.next_at)
    }

    /// The clock was set back: all of it was, or is to be, that much earlier by it.
    pub fn set_back(&mut self, by_ms: i64) {
        self.since = self.since.plus_ms(-by_ms);
        if let Some(probes) = &mut self.probes {
            probes.next_at = probes.next_at.plus_ms(-by_ms);
        }
    }

    /// A probe goes out; another one follows, should nothing be heard of it.
    pub fn probe(&mut self, now: Millis, limits: HealthLimits) {
        if let Some(probes) = &mut self.probes {
            probes.wait_ms = (probes.wait_ms * 2).min(limits.probe_ms_max);
            probes.next_at = now.plus_ms(probes.wait_ms);
        }
    }

    /// There was nothing to probe with: the next delivery is made like any other, and if it fails
    /// the probes go on.
    pub fn trust_once(&mut self) {
        self.probes = None;
    }

    /// Takes in a failure. Success is the end of it, and nothing that is asked here.
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

/// Whether what was said is a failure of the receiver.
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
