//! Simulated database latency. Everything then runs on the caller's thread, so that a run repeats the same
//! steps in the same order.

use std::sync::Arc;
use std::time::Duration;

/// Returns the length of the next wait for the database. A call dropped during a wait never ends within a
/// transaction: only before it began, or after it was committed.
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
