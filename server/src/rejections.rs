//! Keeps calls and events that were refused, for a day: whoever sent them can see why, and send them in again
//! once the mistake is mended. A rejection is lost rather than anybody made to wait for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::{Config, RejectionsConfig};
use crate::model::{Millis, TenantId};
use crate::store::{RejectionRow, Store, StoreError};

/// Rejections that wait to be stored.
const QUEUE_MAX: usize = 256;
/// How long the first of them waits for more.
const TOGETHER: Duration = Duration::from_millis(200);
const FORGET_EVERY_MS: i64 = 60_000;
/// One part in so many is for calls that are not signed as they should be.
const STRANGERS: u32 = 4;

/// Takes rejections.
pub struct Rejections {
    config: Arc<Config>,
    sender: mpsc::Sender<RejectionRow>,
    minute: Mutex<Minute>,
}

/// What was kept in the current minute.
#[derive(Default)]
struct Minute {
    number: i64,
    counts: HashMap<(TenantId, bool), u32>,
}

impl Rejections {
    /// Starts the task that stores them, until `stop`.
    pub fn start(
        config: Arc<Config>,
        store: Store,
        clock: Clock,
        stop: watch::Receiver<bool>,
    ) -> (Rejections, JoinHandle<()>) {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let keeper = Keeper { config: config.clone(), store, clock };
        let task = tokio::spawn(keeper.run(queue, stop));
        (Rejections { config, sender, minute: Mutex::default() }, task)
    }

    fn settings(&self) -> &RejectionsConfig {
        &self.config.rejections
    }

    /// Whether another rejection of a tenant is kept; counts it if so. Those of strangers, whose calls are not
    /// signed, have a share of their own, so that they don't hide what the sender has to mend.
    pub fn takes(&self, tenant: &TenantId, now: Millis, is_stranger: bool) -> bool {
        if self.settings().kept_s == 0 {
            return false;
        }
        let minute = now.0.div_euclid(60_000);
        let mut current = self.minute.lock();
        if current.number != minute {
            *current = Minute { number: minute, counts: HashMap::new() };
        }
        let count = current.counts.entry((tenant.clone(), is_stranger)).or_default();
        *count += 1;
        let max = self.settings().per_minute_max;
        let takes = *count <= if is_stranger { max.div_ceil(STRANGERS) } else { max };
        if !takes {
            metrics::counter!("antar_rejections_left_out_total").increment(1);
        }
        takes
    }

    /// Longest body that is kept.
    #[must_use]
    pub fn body_bytes_max(&self) -> usize {
        self.settings().body_bytes_max
    }

    /// Queues a rejection to be stored.
    pub fn keep(&self, row: RejectionRow) {
        if self.sender.try_send(row).is_err() {
            metrics::counter!("antar_rejections_left_out_total").increment(1);
        }
    }
}

/// The task that stores and forgets them.
struct Keeper {
    config: Arc<Config>,
    store: Store,
    clock: Clock,
}

impl Keeper {
    async fn run(self, mut queue: mpsc::Receiver<RejectionRow>, mut stop: watch::Receiver<bool>) {
        let mut forget_at = self.clock.now();
        let mut rows = Vec::new();
        loop {
            let count = tokio::select! {
                count = queue.recv_many(&mut rows, QUEUE_MAX) => Some(count),
                () = self.clock.sleep_until(forget_at) => None,
                _ = stop.wait_for(|stop| *stop) => Some(0),
            };
            match count {
                // The server ends: what waits is lost.
                Some(0) => return,
                Some(_) => {
                    tokio::time::sleep(TOGETHER).await;
                    while let Ok(row) = queue.try_recv() {
                        rows.push(row);
                    }
                    self.store(std::mem::take(&mut rows)).await;
                }
                None => {
                    let now = self.clock.now();
                    forget_at = now.plus_ms(FORGET_EVERY_MS);
                    if let Err(error) = self.forget(now).await {
                        tracing::warn!(%error, "old rejections could not be deleted yet");
                    }
                }
            }
        }
    }

    async fn store(&self, rows: Vec<RejectionRow>) {
        let count_max = self.config.rejections.per_tenant_max;
        if let Err(error) = self.store.rejections.insert(rows, count_max).await {
            tracing::warn!(%error, "what was refused could not be kept");
        }
    }

    async fn forget(&self, now: Millis) -> Result<(), StoreError> {
        let kept_ms = self.config.rejections.kept_s.saturating_mul(1_000);
        let before = now.plus_ms(-i64::try_from(kept_ms).unwrap_or(i64::MAX));
        while self.store.rejections.forget(before).await? > 0 {}
        Ok(())
    }
}
