//! Periodic work of a node: renews its lease, takes over deliveries of expired nodes, reads the database's
//! clock, and deletes old idempotency keys.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::dispatcher::Dispatcher;
use crate::clock::Clock;
use crate::model::Millis;
use crate::pipeline::Pipeline;
use crate::store::TAKE_OVER_MAX;

/// Until when this node may start attempts, by its own monotonic clock. It stops a third of the lease before
/// other nodes may take over its deliveries.
#[derive(Clone)]
pub struct Lease {
    until: Arc<Mutex<Instant>>,
    trusted_for: Duration,
}

impl Lease {
    /// For a lease that was just taken or renewed.
    #[must_use]
    pub fn new(lease_ms: i64) -> Lease {
        let lease = Duration::from_millis(u64::try_from(lease_ms).unwrap_or_default());
        let trusted_for = lease * 2 / 3;
        Lease { until: Arc::new(Mutex::new(Instant::now() + trusted_for)), trusted_for }
    }

    pub(super) fn holds(&self) -> bool {
        Instant::now() < *self.until.lock()
    }

    /// Extends the lease, which was renewed not before `asked_at`.
    pub(super) fn renewed(&self, asked_at: Instant) {
        *self.until.lock() = asked_at + self.trusted_for;
    }
}

/// Renews this node's lease and takes over deliveries of expired nodes, until `stop`.
pub async fn keep_lease(
    pipeline: Arc<Pipeline>,
    lease: Lease,
    dispatcher: Dispatcher,
    mut stop: watch::Receiver<bool>,
) {
    // Run again soon after the start: rows locked by the previous run's last statement are free by then.
    const FIRST: Duration = Duration::from_secs(1);
    let lease_ms = pipeline.config.store.lease_ms;
    let every = Duration::from_millis(u64::try_from(lease_ms / 3).unwrap_or(1).max(1));
    let mut forgotten_at = pipeline.clock.now();
    let mut wait = FIRST.min(every);
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        wait = every;
        look_at_clock(&pipeline).await;
        let now = pipeline.clock.now();
        forget(&pipeline, now, &mut forgotten_at).await;
        renew(&pipeline, &lease, &dispatcher, now).await;
        match pipeline.store.queue.take_over(&pipeline.owner, now).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(count, "took over deliveries of a node that is gone");
                dispatcher.wake();
                if count == TAKE_OVER_MAX {
                    wait = Duration::ZERO;
                }
            }
            Err(error) => tracing::warn!(%error, "deliveries of nodes that are gone can't be read"),
        }
    }
}

async fn renew(pipeline: &Pipeline, lease: &Lease, dispatcher: &Dispatcher, now: Millis) {
    let lease_ms = pipeline.config.store.lease_ms;
    let asked_at = Instant::now();
    match pipeline.store.queue.renew_lease(&pipeline.owner, now, lease_ms).await {
        Ok(true) => {
            // The lease may have expired during the call. Then it holds again only after the scheduler has
            // released the deliveries that other nodes may have taken over.
            if lease.holds() {
                lease.renewed(asked_at);
            } else {
                tracing::info!("this node's lease is renewed; it begins attempts again");
                dispatcher.lease_regained(asked_at).await;
            }
        }
        Ok(false) => {
            tracing::error!("another server runs with this data folder's node.id; stop one of them")
        }
        Err(error) => tracing::warn!(
            %error,
            "this node's lease could not be renewed; without it no attempt begins"
        ),
    }
}

async fn look_at_clock(pipeline: &Pipeline) {
    let Clock::Database(clock) = &pipeline.clock else { return };
    // Without an answer, keep the old offset.
    if let Ok(Some((now, at))) = pipeline.store.queue.time().await {
        clock.set(now, at);
    }
}

/// Deletes old `Idempotency-Key`s, once an hour.
async fn forget(pipeline: &Pipeline, now: Millis, forgotten_at: &mut Millis) {
    const EVERY_MS: i64 = 3_600_000;
    if now < forgotten_at.plus_ms(EVERY_MS) {
        return;
    }
    *forgotten_at = now;
    let keep_ms = i64::try_from(pipeline.config.intake.idempotency_ms).unwrap_or(i64::MAX);
    if let Err(error) = pipeline.store.writer.forget_idempotent(now.plus_ms(-keep_ms)).await {
        tracing::warn!(%error, "old idempotency keys could not be forgotten");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_trusted_for_two_thirds_of_its_time() {
        let lease = Lease::new(15_000);
        assert!(lease.holds());
        let long_ago = |ms| Instant::now().checked_sub(Duration::from_millis(ms)).unwrap();
        lease.renewed(long_ago(10_001));
        assert!(!lease.holds());
        lease.renewed(long_ago(9_000));
        assert!(lease.holds());
    }
}
