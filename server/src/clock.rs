//! Time as an argument. Whatever needs "now" gets it from here, and a test can hold it still.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::model::Millis;

/// The machine's clock, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
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
            Clock::Manual(manual) => manual.now(),
        }
    }

    /// Returns once `now` is `time` or later.
    pub async fn sleep_until(&self, time: Millis) {
        match self {
            Clock::System => {
                let ms = u64::try_from(time.0 - self.now().0).unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            Clock::Manual(manual) => {
                let mut now = manual.0.subscribe();
                // An error means that the clock is gone, and with it the test.
                let _ = now.wait_for(|now| *now >= time).await;
            }
        }
    }
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
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.send_modify(|now| *now = now.plus_ms(ms));
    }
}
