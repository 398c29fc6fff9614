//! How a simulated database takes its time. Everything runs on the caller's thread then, so that the
//! same steps come in the same order again.

use std::sync::Arc;
use std::time::Duration;

/// Says how long the next wait for the database is. Dropped while it waits, a call ends between
/// two statements' transactions: before it began, or after it was committed.
#[derive(Clone)]
pub struct Pace(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Pace {
    #[must_use]
    pub fn new(next: impl Fn() -> Duration + Send + Sync + 'static) -> Pace {
        Pace(Arc::new(next))
    }

    pub(super) async fn wait(&self) {
        tokio::time::sleep((self.0)()).await;
    }
}
