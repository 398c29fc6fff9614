//! Time as an argument. Whatever needs "now" gets it from here, and a test can hold it still.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::model::Millis;

/// The machine's clock, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    /// The database's, where several nodes share one.
    Database(Arc<DatabaseClock>),
    Manual(ManualClock),
}

impl Clock {
    #[must_use]
    pub fn now(&self) -> Millis {
        match self {
            Clock::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Clock::Database(clock) => clock.now(),
            Clock::Manual(manual) => manual.now(),
        }
    }

    /// Returns once `now` is `time` or later, or as much time has passed as was to pass until then. The
    /// manual clock, for which none passes, ends it when it is set back.
    pub async fn sleep_until(&self, time: Millis) {
        match self {
            Clock::System | Clock::Database(_) => {
                let ms = u64::try_from(time.0 - self.now().0).unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            Clock::Manual(manual) => {
                let mut now = manual.0.subscribe();
                // An error means that the clock is gone, and with it the test.
                let began = *now.borrow();
                let _ = now.wait_for(|now| *now >= time || *now < began).await;
            }
        }
    }
}

/// The time of the database's machine, told by this one's monotonic clock: nodes whose clocks differ
/// agree on what is due, and a clock that is set does not move what runs.
#[derive(Debug)]
pub struct DatabaseClock {
    start: Instant,
    /// What the database's clock shows at `start`, in milliseconds since 1970.
    offset_ms: AtomicI64,
}

impl DatabaseClock {
    /// The database's clock showed `now` at the moment `at`.
    #[must_use]
    pub fn new(now: Millis, at: Instant) -> DatabaseClock {
        let clock = DatabaseClock { start: at, offset_ms: AtomicI64::new(0) };
        clock.set(now, at);
        clock
    }

    /// Goes on from another look at the database's clock.
    pub fn set(&self, now: Millis, at: Instant) {
        let since_ms = now.0 - millis(at.saturating_duration_since(self.start));
        self.offset_ms.store(since_ms, Ordering::Relaxed);
    }

    fn now(&self) -> Millis {
        Millis(self.offset_ms.load(Ordering::Relaxed) + millis(self.start.elapsed()))
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A clock that stands still until it is moved.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<watch::Sender<Millis>>);

impl ManualClock {
    #[must_use]
    pub fn new(now: Millis) -> ManualClock {
        ManualClock(Arc::new(watch::Sender::new(now)))
    }

    #[must_use]
    pub fn now(&self) -> Millis {
        *self.0.borrow()
    }

    /// Moves forward and wakes whoever waited for a time up to there.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now = now.plus_ms(millis(by)));
    }

    /// As a machine's clock is that was ahead and is corrected.
    pub fn set_back(&self, by: Duration) {
        self.0.send_modify(|now| *now = now.plus_ms(-millis(by)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_databases_clock_goes_on_from_each_look_at_it() {
        let start = Instant::now();
        let clock = DatabaseClock::new(Millis(1_000_000), start);
        assert!(clock.now() >= Millis(1_000_000));
        // Later the database turns out to be an hour ahead of what was thought.
        clock.set(Millis(4_600_000 + 500), start + Duration::from_millis(500));
        let shown = clock.now();
        assert!((4_600_000..4_660_000).contains(&shown.0), "{shown:?}");
    }
}
