//! Waiting for a condition.

use std::time::Duration;

/// Longest wait for anything. A test that exceeds it fails.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Interval between checks of a condition.
const POLL: Duration = Duration::from_millis(10);

/// Polls until `condition` returns a value; panics at the [`DEADLINE`] with `what` it waited for.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    let found = tokio::time::timeout(DEADLINE, asking).await;
    found.unwrap_or_else(|_| panic!("waited {} s in vain: {what}", DEADLINE.as_secs()))
}
