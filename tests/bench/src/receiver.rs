//! Where deliveries go: answers 200 at once, counts, and notes how long each was on its way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::event;
use crate::wire::Wire;

/// Requests that begin so are never answered.
const HANGING: &str = "POST /hang";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A delivery that came.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    /// When its event was posted, in nanoseconds.
    pub(crate) sent_ns: u64,
    /// Nanoseconds from POST to receipt.
    pub(crate) took_ns: u64,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    /// `127.0.0.1:PORT`
    pub(crate) address: String,
    shared: Arc<Shared>,
}

struct Shared {
    start: Instant,
    arrived: Mutex<Vec<Arrival>>,
    count: watch::Sender<usize>,
    /// Requests that get no answer.
    hanging: watch::Sender<usize>,
    /// Nobody gets an answer.
    holds: AtomicBool,
}

impl Receiver {
    /// `start` is the moment that events count their time from.
    pub(crate) async fn start(start: Instant) -> anyhow::Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let shared = Shared {
            start,
            arrived: Mutex::default(),
            count: watch::Sender::new(0),
            hanging: watch::Sender::new(0),
            holds: AtomicBool::new(false),
        };
        let receiver = Receiver { address, shared: Arc::new(shared) };
        let accepting = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = accepting.clone();
                if let Ok(wire) = Wire::new(stream) {
                    tokio::spawn(async move { receiver.serve(wire).await });
                }
            }
        });
        Ok(receiver)
    }

    async fn serve(&self, mut wire: Wire) -> anyhow::Result<()> {
        while let Some(request) = wire.read().await? {
            let holds = self.shared.holds.load(Ordering::Relaxed);
            if holds || request.head.starts_with(HANGING.as_bytes()) {
                self.shared.hanging.send_modify(|count| *count += 1);
                // Until the caller gives up.
                let ended = wire.read().await;
                self.shared.hanging.send_modify(|count| *count -= 1);
                return ended.map(drop);
            }
            let now_ns = u64::try_from(self.shared.start.elapsed().as_nanos())?;
            if let Some(sent_ns) = event::sent_ns(&request.body) {
                let mut all = self.shared.arrived.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(Arrival { sent_ns, took_ns: now_ns.saturating_sub(sent_ns) });
                let count = all.len();
                drop(all);
                self.shared.count.send_replace(count);
            }
            wire.send(ANSWER).await?;
        }
        Ok(())
    }

    /// Returns once `count` deliveries have come since the last [`Receiver::take`].
    pub(crate) async fn wait(&self, count: usize) -> anyhow::Result<()> {
        const DEADLINE: Duration = Duration::from_secs(300);
        let came = reached(&self.shared.count, count, DEADLINE).await;
        came.map_err(|came| anyhow::anyhow!("{came} of {count} deliveries came in time"))
    }

    /// From now on nobody gets an answer, or everybody who asks does.
    pub(crate) fn hold(&self, holds: bool) {
        self.shared.holds.store(holds, Ordering::Relaxed);
    }

    /// Returns once so many requests wait for an answer.
    pub(crate) async fn wait_for_hanging(&self, count: usize) -> anyhow::Result<()> {
        const DEADLINE: Duration = Duration::from_secs(120);
        let hanging = reached(&self.shared.hanging, count, DEADLINE).await;
        hanging.map_err(|hanging| anyhow::anyhow!("{hanging} of {count} requests hang"))
    }

    /// How long what came took, and begins anew.
    pub(crate) fn take(&self) -> Vec<u64> {
        self.take_all().iter().map(|arrival| arrival.took_ns).collect()
    }

    /// What came, and begins anew.
    pub(crate) fn take_all(&self) -> Vec<Arrival> {
        let mut all = self.shared.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.count.send_replace(0);
        std::mem::take(&mut *all)
    }
}

/// Waits until `counted` is at `count`; the error is where it was when the time was over.
async fn reached(
    counted: &watch::Sender<usize>,
    count: usize,
    within: Duration,
) -> Result<(), usize> {
    let mut changes = counted.subscribe();
    let waited = tokio::time::timeout(within, changes.wait_for(|now| *now >= count)).await;
    waited.map(drop).map_err(|_| *counted.borrow())
}
