//! The clock that all code reads "now" from: the machine's, the database's, or one that a test controls.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::model::Millis;

/// The machine's clock, the database's, or one that a test moves.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    /// The clock of a database that several nodes share.
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

    /// Returns once `now` reaches `time`, or once as much time has passed as was left at the call. Time does
    /// not pass for the manual clock; setting it back ends the sleep.
    pub async fn sleep_until(&self, time: Millis) {
        match self {
            Clock::System | Clock::Database(_) => {
                let ms = u64::try_from(time.0 - self.now().0).unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            Clock::Manual(manual) => {
                let mut now = manual.0.subscribe();
                // An error means that the clock was dropped, and the test is over.
                let began = *now.borrow();
                let _ = now.wait_for(|now| *now >= time || *now < began).await;
            }
        }
    }
}

/// The time of the database's machine, continued by this machine's monotonic clock: nodes whose clocks differ
/// agree on what is due, and setting a machine's clock does not affect running work.
#[derive(Debug)]
pub struct DatabaseClock {
    start: Instant,
    /// The database's time at `start`, in milliseconds since 1970.
    offset_ms: AtomicI64,
}

impl DatabaseClock {
    /// `now` is what the database's clock showed at the instant `at`.
    #[must_use]
    pub fn new(now: Millis, at: Instant) -> DatabaseClock {
        let clock = DatabaseClock { start: at, offset_ms: AtomicI64::new(0) };
        clock.set(now, at);
        clock
    }

    /// Continues from a new reading of the database's clock.
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

    /// Moves the clock forward and wakes the sleepers whose time has come.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now = now.plus_ms(millis(by)));
    }

    /// Sets the clock back, like a machine's clock that was ahead and is corrected.
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
        // A later reading is an hour ahead of the first one.
        clock.set(Millis(4_600_000 + 500), start + Duration::from_millis(500));
        let shown = clock.now();
        assert!((4_600_000..4_660_000).contains(&shown.0), "{shown:?}");
    }
}
