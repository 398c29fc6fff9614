//! Posting events: as fast as they are taken, or at a steady rate.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::try_join_all;
use tokio::task::JoinSet;

use crate::event::{event, sent_ns};
use crate::wire::{Wire, post};

/// Where events are posted.
#[derive(Clone)]
pub(crate) struct Target {
    /// `127.0.0.1:PORT`
    pub(crate) address: String,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
}

impl Target {
    async fn post(&self, wire: &mut Wire, start: Instant) -> anyhow::Result<()> {
        self.post_text(wire, &event(start)).await
    }

    async fn post_text(&self, wire: &mut Wire, event: &str) -> anyhow::Result<()> {
        let request = post(&self.path, self.key.as_deref(), event);
        let answer = wire.exchange(&request).await?;
        let status = answer.status()?;
        ensure!(status == 202, "{status}: {}", String::from_utf8_lossy(&answer.body));
        Ok(())
    }

    /// Posts over a connection that is made if there is none.
    async fn once(&self, wire: &mut Option<Wire>, event: &str) -> anyhow::Result<()> {
        let wire = match wire {
            Some(wire) => wire,
            none => none.insert(Wire::connect(&self.address).await?),
        };
        self.post_text(wire, event).await
    }
}

/// Posts `events` over `connections`, each of which posts again when it was answered.
pub(crate) async fn full(
    target: &Target,
    start: Instant,
    events: usize,
    connections: usize,
) -> anyhow::Result<()> {
    let left = AtomicUsize::new(events);
    let one_less = |left: usize| left.checked_sub(1);
    let another = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
    post_while(target, start, connections, another).await
}

/// The same for a time. How many events it were.
pub(crate) async fn full_for(
    target: &Target,
    start: Instant,
    time: Duration,
    connections: usize,
) -> anyhow::Result<usize> {
    let (began, events) = (Instant::now(), AtomicUsize::new(0));
    let another = || {
        events.fetch_add(1, Ordering::Relaxed);
        began.elapsed() < time
    };
    post_while(target, start, connections, another).await?;
    // Each connection counted one that it did not post.
    Ok(events.into_inner() - connections)
}

async fn post_while(
    target: &Target,
    start: Instant,
    connections: usize,
    another: impl Fn() -> bool,
) -> anyhow::Result<()> {
    let post = async || {
        let mut wire = Wire::connect(&target.address).await?;
        while another() {
            target.post(&mut wire, start).await?;
        }
        anyhow::Ok(())
    };
    try_join_all((0..connections).map(|_| post())).await.map(drop)
}

/// Connections that share the events of a steady rate.
const CONNECTIONS: u32 = 32;

/// When a connection posts, from the beginning: it takes every event of its number.
fn times(first: u32, rate_per_s: u32, seconds: u32) -> impl Iterator<Item = Duration> {
    let numbers = (first..rate_per_s * seconds).step_by(CONNECTIONS as usize);
    numbers.map(move |number| Duration::from_secs_f64(f64::from(number) / f64::from(rate_per_s)))
}

/// Posts `rate_per_s` events a second for `seconds`, whether or not they are answered in time.
pub(crate) async fn steady(
    target: &Target,
    start: Instant,
    rate_per_s: u32,
    seconds: u32,
) -> anyhow::Result<()> {
    let began = tokio::time::Instant::now() + Duration::from_millis(50);
    let mut posting = JoinSet::new();
    for first in 0..CONNECTIONS {
        let target = target.clone();
        posting.spawn(async move {
            let mut wire = Wire::connect(&target.address).await?;
            for at in times(first, rate_per_s, seconds) {
                tokio::time::sleep_until(began + at).await;
                target.post(&mut wire, start).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = posting.join_next().await {
        ended??;
    }
    Ok(())
}

/// What became of events that were posted at a steady rate.
#[derive(Default)]
pub(crate) struct Posted {
    /// When each that was answered with 202 was sent, in nanoseconds.
    pub(crate) accepted: Vec<u64>,
    /// Why others were not.
    pub(crate) refused: Vec<String>,
}

/// Like [`steady`], but goes on when an event is refused or its connection breaks.
pub(crate) async fn steady_whatever_comes(
    target: &Target,
    start: Instant,
    rate_per_s: u32,
    seconds: u32,
) -> anyhow::Result<Posted> {
    let began = tokio::time::Instant::now() + Duration::from_millis(50);
    let mut posting = JoinSet::new();
    for first in 0..CONNECTIONS {
        let target = target.clone();
        posting.spawn(async move {
            let (mut posted, mut wire) = (Posted::default(), None);
            for at in times(first, rate_per_s, seconds) {
                tokio::time::sleep_until(began + at).await;
                let event = event(start);
                match target.once(&mut wire, &event).await {
                    Ok(()) => posted.accepted.extend(sent_ns(event.as_bytes())),
                    Err(error) => {
                        posted.refused.push(format!("{error:#}"));
                        wire = None;
                    }
                }
            }
            posted
        });
    }
    let mut all = Posted::default();
    while let Some(ended) = posting.join_next().await {
        let Posted { accepted, refused } = ended?;
        all.accepted.extend(accepted);
        all.refused.extend(refused);
    }
    Ok(all)
}
