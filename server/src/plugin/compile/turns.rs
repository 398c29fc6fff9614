//! Whose upload is read or compiled next.
//!
//! A tenant has one upload read and one compiled at a time; its others wait in its own line. Only
//! the first of each line waits for a place among all tenants, and places are given in the order of
//! arrival, so tenants take turns however much one of them uploads. What waits is bounded for each
//! tenant and in all, in number and bytes; of the bytes a tenant gets at most half of what others
//! leave, so that many hostile tenants can't take all of it either.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::{Limits, UploadError};

/// The lines of all tenants.
pub(in super::super) struct Turns {
    bounds: Bounds,
    lines: Mutex<Lines>,
    reading: Arc<Semaphore>,
    compiling: Arc<Semaphore>,
}

struct Bounds {
    uploads: usize,
    bytes: usize,
    tenant_uploads: usize,
    tenant_bytes: usize,
}

#[derive(Default)]
struct Lines {
    uploads: usize,
    bytes: usize,
    /// The lines of tenants that have something in them.
    of: HashMap<String, Line>,
}

struct Line {
    tickets: usize,
    uploads: usize,
    bytes: usize,
    reading: Arc<Semaphore>,
    compiling: Arc<Semaphore>,
}

impl Default for Line {
    fn default() -> Line {
        let one = || Arc::new(Semaphore::new(1));
        Line { tickets: 0, uploads: 0, bytes: 0, reading: one(), compiling: one() }
    }
}

/// A place in a tenant's line, freed when dropped.
pub(in super::super) struct Ticket {
    turns: Arc<Turns>,
    tenant: String,
    uploads: usize,
    bytes: usize,
    reading: Arc<Semaphore>,
    compiling: Arc<Semaphore>,
}

/// A tenant's turn. It ends when this is dropped.
pub struct Turn {
    // Dropped in this order: whoever is next in the line of the tenant waits behind other tenants.
    _place: Option<OwnedSemaphorePermit>,
    _own: Option<OwnedSemaphorePermit>,
    _ticket: Option<Ticket>,
}

impl Turns {
    pub(in super::super) fn new(limits: &Limits) -> Turns {
        let places = || Arc::new(Semaphore::new(limits.compiles_at_once()));
        Turns {
            bounds: Bounds {
                uploads: limits.uploads_waiting_max,
                bytes: limits.uploads_waiting_bytes_max,
                tenant_uploads: limits.tenant_uploads_waiting_max,
                tenant_bytes: limits.tenant_uploads_waiting_bytes_max,
            },
            lines: Mutex::default(),
            reading: places(),
            compiling: places(),
        }
    }

    /// Puts an upload into its tenant's line, or refuses one that would exceed a bound.
    pub(in super::super) fn enter(
        self: &Arc<Self>,
        tenant: &str,
        bytes: usize,
    ) -> Result<Ticket, UploadError> {
        let mut lines = self.lines.lock();
        let (own_uploads, own_bytes) =
            lines.of.get(tenant).map_or((0, 0), |line| (line.uploads, line.bytes));
        let full = |uploads, limit, name| Err(UploadError::Busy { uploads, limit, name });
        let bounds = &self.bounds;
        if own_uploads >= bounds.tenant_uploads {
            let name = "plugins.tenant_uploads_waiting_max";
            return full(own_uploads, bounds.tenant_uploads, name);
        }
        if own_bytes.saturating_add(bytes) > bounds.tenant_bytes {
            let name = "plugins.tenant_uploads_waiting_bytes_max";
            return full(own_uploads, bounds.tenant_bytes, name);
        }
        if lines.uploads >= bounds.uploads {
            return full(lines.uploads, bounds.uploads, "plugins.uploads_waiting_max");
        }
        let left = bounds.bytes.saturating_sub(lines.bytes - own_bytes);
        if own_bytes.saturating_add(bytes) > left / 2 {
            return full(lines.uploads, bounds.bytes, "plugins.uploads_waiting_bytes_max");
        }
        Ok(self.ticket(&mut lines, tenant, 1, bytes))
    }

    /// Puts a file that was taken earlier into its tenant's line: nobody could upload it again.
    pub(in super::super) fn enter_again(self: &Arc<Self>, tenant: &str) -> Ticket {
        self.ticket(&mut self.lines.lock(), tenant, 0, 0)
    }

    fn ticket(
        self: &Arc<Self>,
        lines: &mut Lines,
        tenant: &str,
        uploads: usize,
        bytes: usize,
    ) -> Ticket {
        lines.uploads += uploads;
        lines.bytes += bytes;
        let line = lines.of.entry(tenant.to_owned()).or_default();
        line.tickets += 1;
        line.uploads += uploads;
        line.bytes += bytes;
        let (reading, compiling) = (line.reading.clone(), line.compiling.clone());
        Ticket {
            turns: self.clone(),
            tenant: tenant.to_owned(),
            uploads,
            bytes,
            reading,
            compiling,
        }
    }

    /// Takes all places for compilations.
    #[cfg(test)]
    pub(in super::super) async fn occupied(&self) -> OwnedSemaphorePermit {
        let all = u32::try_from(self.compiling.available_permits()).unwrap();
        self.compiling.clone().acquire_many_owned(all).await.unwrap()
    }
}

impl Ticket {
    /// Waits until the tenant may have an upload read. The ticket stays.
    pub(in super::super) async fn reading(&self) -> Turn {
        let (own, place) = waited(&self.reading, &self.turns.reading).await;
        Turn { _place: place, _own: own, _ticket: None }
    }

    /// Waits until the tenant may have an upload compiled.
    pub(in super::super) async fn compiling(self) -> Turn {
        let (own, place) = waited(&self.compiling, &self.turns.compiling).await;
        Turn { _place: place, _own: own, _ticket: Some(self) }
    }
}

/// A permit of the tenant's line, and then one among all tenants. Semaphores are fair, and are
/// never closed.
async fn waited(
    line: &Arc<Semaphore>,
    places: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>) {
    let own = line.clone().acquire_owned().await;
    let place = places.clone().acquire_owned().await;
    (own.ok(), place.ok())
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut lines = self.turns.lines.lock();
        lines.uploads -= self.uploads;
        lines.bytes -= self.bytes;
        let Some(line) = lines.of.get_mut(&self.tenant) else { return };
        line.tickets -= 1;
        line.uploads -= self.uploads;
        line.bytes -= self.bytes;
        if line.tickets == 0 {
            lines.of.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::Pin, task::Poll};

    use super::*;

    fn turns(limits: Limits) -> Arc<Turns> {
        Arc::new(Turns::new(&limits))
    }

    fn refused(turns: &Arc<Turns>, tenant: &str, bytes: usize) -> String {
        turns.enter(tenant, bytes).err().map_or_else(String::new, |e| e.to_string())
    }

    #[test]
    fn what_waits_is_bounded_for_each_tenant_and_in_all() {
        let turns = turns(Limits {
            uploads_waiting_max: 3,
            uploads_waiting_bytes_max: 1_000,
            tenant_uploads_waiting_max: 2,
            tenant_uploads_waiting_bytes_max: 100,
            ..Limits::default()
        });
        let first = turns.enter("a", 60).unwrap();
        assert!(refused(&turns, "a", 41).contains("tenant_uploads_waiting_bytes_max is 100"));
        let second = turns.enter("a", 40).unwrap();
        assert!(refused(&turns, "a", 0).contains("tenant_uploads_waiting_max is 2"));
        let third = turns.enter("b", 0).unwrap();
        assert!(refused(&turns, "c", 0).contains("plugins.uploads_waiting_max is 3"));
        drop(first);
        assert!(refused(&turns, "a", 61).contains("tenant_uploads_waiting_bytes_max"));
        assert_eq!(refused(&turns, "c", 0), "");
        drop((second, third));
        assert!(turns.lines.lock().of.is_empty() && turns.lines.lock().bytes == 0);
    }

    #[test]
    fn tenants_that_take_all_the_bytes_they_can_leave_some_to_the_next() {
        let turns = turns(Limits {
            uploads_waiting_bytes_max: 1_024,
            tenant_uploads_waiting_bytes_max: 1_024,
            ..Limits::default()
        });
        let mut held = Vec::new();
        for (tenant, bytes) in [("a", 512), ("b", 256), ("c", 128), ("d", 64)] {
            let full = refused(&turns, tenant, bytes + 1);
            assert!(full.contains("plugins.uploads_waiting_bytes_max is 1024"), "{full}");
            held.push(turns.enter(tenant, bytes).unwrap());
            assert!(!refused(&turns, tenant, 1).is_empty());
        }
        assert_eq!(refused(&turns, "e", 32), "");
    }

    #[test]
    fn files_that_were_taken_earlier_count_for_no_bound() {
        let turns = turns(Limits { tenant_uploads_waiting_max: 1, ..Limits::default() });
        let earlier: Vec<_> = (0..10).map(|_| turns.enter_again("a")).collect();
        assert_eq!(refused(&turns, "a", 1), "");
        drop(earlier);
        assert!(turns.lines.lock().of.is_empty());
    }

    type Waiting = Pin<Box<dyn Future<Output = Turn>>>;

    /// The turn of the first that has one, and the others.
    async fn next(waiting: &mut Vec<(&'static str, Waiting)>) -> Option<(&'static str, Turn)> {
        std::future::poll_fn(|context| {
            for at in 0..waiting.len() {
                if let Poll::Ready(turn) = waiting[at].1.as_mut().poll(context) {
                    return Poll::Ready(Some((waiting.remove(at).0, turn)));
                }
            }
            Poll::Ready(None)
        })
        .await
    }

    #[tokio::test]
    async fn tenants_take_turns_however_many_uploads_one_has() {
        let turns = turns(Limits { compiles_max: 1, ..Limits::default() });
        let mut waiting: Vec<(&str, Waiting)> = Vec::new();
        for tenant in ["a", "a", "a", "a", "b", "b", "c"] {
            let ticket = turns.enter_again(tenant);
            waiting.push((tenant, Box::pin(ticket.compiling())));
        }
        let (mut order, mut running) = (String::new(), None);
        for _ in 0..7 {
            // Polls all, so that each waits where it would.
            drop(running.take());
            let mut had = None;
            for _ in 0..2 {
                if let Some(turn) = next(&mut waiting).await {
                    assert!(had.replace(turn).is_none(), "two have a turn at once");
                }
            }
            let (tenant, turn) = had.expect("somebody has a turn");
            order.push_str(tenant);
            running = Some(turn);
        }
        assert_eq!(order, "abcabaa");
    }

    #[tokio::test]
    async fn a_tenant_never_has_two_turns_at_once() {
        let turns = turns(Limits { compiles_max: 3, ..Limits::default() });
        let mut waiting: Vec<(&str, Waiting)> = Vec::new();
        for tenant in ["a", "a", "b"] {
            waiting.push((tenant, Box::pin(turns.enter_again(tenant).compiling())));
        }
        let first = next(&mut waiting).await.unwrap();
        let second = next(&mut waiting).await.unwrap();
        assert_eq!((first.0, second.0), ("a", "b"));
        assert!(next(&mut waiting).await.is_none());
        drop(first);
        assert_eq!(next(&mut waiting).await.unwrap().0, "a");
    }
}
