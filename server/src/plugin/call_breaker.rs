//! Circuit breaker: pauses a plugin that fails repeatedly.
//!
//! A plugin that traps on everything would use up the attempts of every delivery that needs it.
//! After a number of failures in a row it is not called for a while, and deliveries that need it
//! wait. Then a single call is tried: if it succeeds, calls resume; if not, the pause starts again.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering::SeqCst};

use parking_lot::Mutex;

use super::CallError;

/// Retry delay of other calls while one call is tried, in milliseconds.
const TRIAL_MS: u64 = 1_000;

/// The breaker of one version of a tenant's plugin.
pub(super) struct Breaker {
    failures_max: u32,
    pause_ms: u64,
    failures: AtomicU32,
    /// When the next call may be tried; 0 while the plugin is not paused.
    closed_until_ms: AtomicI64,
    trying: AtomicBool,
    reason: Mutex<String>,
}

/// Why and until when a plugin is not called, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The last failure, and how many there were.
    pub reason: String,
    /// Milliseconds since 1970.
    pub until_ms: i64,
}

/// Permission for one call.
pub(super) struct Entry<'a> {
    breaker: &'a Breaker,
    is_trial: bool,
}

impl Breaker {
    pub(super) fn new(failures_max: u32, pause_ms: u64) -> Breaker {
        Breaker {
            failures_max,
            pause_ms,
            failures: AtomicU32::new(0),
            closed_until_ms: AtomicI64::new(0),
            trying: AtomicBool::new(false),
            reason: Mutex::new(String::new()),
        }
    }

    pub(super) fn enter(&self, now_ms: impl FnOnce() -> i64) -> Result<Entry<'_>, CallError> {
        let until_ms = self.closed_until_ms.load(SeqCst);
        if until_ms == 0 {
            return Ok(Entry { breaker: self, is_trial: false });
        }
        let wait_ms = u64::try_from(until_ms - now_ms()).unwrap_or(0);
        let paused = |retry_in_ms| {
            Err(CallError::Paused { reason: self.reason.lock().clone(), retry_in_ms })
        };
        if wait_ms > 0 {
            return paused(wait_ms);
        }
        if self.trying.swap(true, SeqCst) {
            return paused(TRIAL_MS);
        }
        Ok(Entry { breaker: self, is_trial: true })
    }

    pub(super) fn pause(&self) -> Option<Pause> {
        let until_ms = self.closed_until_ms.load(SeqCst);
        (until_ms != 0).then(|| Pause { reason: self.reason.lock().clone(), until_ms })
    }
}

impl Entry<'_> {
    /// Records how the call ended.
    pub(super) fn ended(&self, error: Option<&CallError>, now_ms: impl FnOnce() -> i64) {
        let breaker = self.breaker;
        match error {
            Some(error) if error.is_failure() => {
                let failures = breaker.failures.fetch_add(1, SeqCst).saturating_add(1);
                if breaker.failures_max > 0 && failures >= breaker.failures_max {
                    *breaker.reason.lock() = format!("failed {failures} times in a row: {error}");
                    let pause_ms = i64::try_from(breaker.pause_ms).unwrap_or(i64::MAX);
                    breaker.closed_until_ms.store(now_ms().saturating_add(pause_ms), SeqCst);
                }
            }
            // Neither success nor failure: the plugin was not called.
            Some(
                CallError::Busy { .. } | CallError::Paused { .. } | CallError::NotReady { .. },
            ) => {}
            _ => {
                if breaker.failures.load(SeqCst) != 0 {
                    breaker.failures.store(0, SeqCst);
                    breaker.closed_until_ms.store(0, SeqCst);
                }
            }
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if self.is_trial {
            self.breaker.trying.store(false, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, at_ms: i64) {
        let entry = breaker.enter(|| at_ms).unwrap();
        entry.ended(Some(&CallError::Trap("no".into())), || at_ms);
    }

    fn wait_ms(breaker: &Breaker, at_ms: i64) -> Option<u64> {
        match breaker.enter(|| at_ms) {
            Err(CallError::Paused { retry_in_ms, .. }) => Some(retry_in_ms),
            _ => None,
        }
    }

    #[test]
    fn failures_in_a_row_pause_and_one_trial_ends_it() {
        let breaker = Breaker::new(3, 5_000);
        fail(&breaker, 10);
        fail(&breaker, 20);
        breaker.enter(|| 25).unwrap().ended(None, || 25);
        (0..3).for_each(|n| fail(&breaker, 30 + n));
        assert_eq!(wait_ms(&breaker, 1_032), Some(4_000));
        let pause = breaker.pause().unwrap();
        assert_eq!(pause.reason, "failed 3 times in a row: the plugin stopped: no");
        assert_eq!(pause.until_ms, 5_032);
        // One call is tried; the others wait a little longer.
        let trial = breaker.enter(|| 5_032).unwrap();
        assert_eq!(wait_ms(&breaker, 5_032), Some(1_000));
        trial.ended(Some(&CallError::TimedOut { limit_ms: 7 }), || 5_040);
        drop(trial);
        assert_eq!(wait_ms(&breaker, 5_040), Some(5_000));
        let trial = breaker.enter(|| 10_040).unwrap();
        trial.ended(None, || 10_040);
        drop(trial);
        assert_eq!((wait_ms(&breaker, 10_041), breaker.pause()), (None, None));
    }

    #[test]
    fn what_the_plugin_says_and_what_is_not_its_fault_do_not_count() {
        let breaker = Breaker::new(1, 5_000);
        for error in [
            CallError::Retry("later".into()),
            CallError::Fail("never".into()),
            CallError::Busy { waited_ms: 1 },
        ] {
            breaker.enter(|| 0).unwrap().ended(Some(&error), || 0);
            assert_eq!(breaker.pause(), None, "{error}");
        }
        let never = Breaker::new(0, 5_000);
        (0..100).for_each(|n| fail(&never, n));
        assert_eq!(never.pause(), None);
    }

    #[test]
    fn a_call_that_did_not_reach_the_plugin_forgives_no_failure() {
        let breaker = Breaker::new(3, 5_000);
        for error in [CallError::NotReady { retry_in_ms: 1 }, CallError::Busy { waited_ms: 1 }] {
            fail(&breaker, 0);
            breaker.enter(|| 0).unwrap().ended(Some(&error), || 0);
        }
        fail(&breaker, 0);
        let pause = breaker.pause().expect("three failures in a row");
        assert_eq!(pause.reason, "failed 3 times in a row: the plugin stopped: no");
        // Nor does it end a pause.
        let trial = breaker.enter(|| 5_000).unwrap();
        trial.ended(Some(&CallError::NotReady { retry_in_ms: 1 }), || 5_000);
        drop(trial);
        assert!(breaker.pause().is_some());
    }

    #[test]
    fn a_trial_that_is_given_up_lets_the_next_one_try() {
        let breaker = Breaker::new(1, 10);
        fail(&breaker, 0);
        drop(breaker.enter(|| 10).unwrap());
        assert_eq!(wait_ms(&breaker, 10), None);
    }
}
