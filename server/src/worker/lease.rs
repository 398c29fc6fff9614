//! What a node does now and then: renew its lease, take over from nodes that are gone, forget what
//! need not be remembered any longer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Dispatcher;
use crate::model::Millis;
use crate::pipeline::Pipeline;

/// Renews this node's lease and takes over what expired nodes left, until `stop`.
pub async fn keep_lease(
    pipeline: Arc<Pipeline>,
    dispatcher: Dispatcher,
    mut stop: watch::Receiver<bool>,
) {
    let lease_ms = pipeline.config.store.lease_ms;
    let every = Duration::from_millis(u64::try_from(lease_ms / 3).unwrap_or(1).max(1));
    let mut forgotten_at = pipeline.clock.now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let now = pipeline.clock.now();
        forget(&pipeline, now, &mut forgotten_at).await;
        match pipeline.store.renew_lease(&pipeline.owner, now, lease_ms).await {
            Ok(true) => {}
            Ok(false) => tracing::error!(
                "another server runs with this data folder's node.id; stop one of them"
            ),
            Err(error) => tracing::warn!(%error, "this node's lease could not be renewed"),
        }
        match pipeline.store.take_over(&pipeline.owner, now).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(count, "took over deliveries of a node that is gone");
                dispatcher.wake();
            }
            Err(error) => tracing::warn!(%error, "deliveries of nodes that are gone can't be read"),
        }
    }
}

/// Forgets old `Idempotency-Key`s, once an hour.
async fn forget(pipeline: &Pipeline, now: Millis, forgotten_at: &mut Millis) {
    const EVERY_MS: i64 = 3_600_000;
    if now < forgotten_at.plus_ms(EVERY_MS) {
        return;
    }
    *forgotten_at = now;
    let keep_ms = i64::try_from(pipeline.config.intake.idempotency_ms).unwrap_or(i64::MAX);
    if let Err(error) = pipeline.store.forget_idempotent(now.plus_ms(-keep_ms)).await {
        tracing::warn!(%error, "old idempotency keys could not be forgotten");
    }
}
