//! What tenants take of the slots and threads that all plugins share.
//!
//! A tenant never has more slots than it leaves to all others, so however many fill their share, there is room
//! for one more. Guests run in *slices* of up to a millisecond, and no more of them stand in the runtime's
//! queue than there are threads: who holds a place keeps it until other tasks have had their turn. A call that
//! goes on after its first slice is a *long call*: from then on it needs a turn for each slice. Few calls have
//! a turn at once, of one tenant fewer still, and turns are given in the order in which they are asked for.

use std::{
    collections::HashMap,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};

use super::{CallError, PoolName};

/// A slice that took longer holds its place until other tasks have run.
const SHORT: Duration = Duration::from_micros(100);

/// The shares of all tenants that have plugins, the places of slices, and the turns of long calls.
pub(super) struct Shares {
    tenants: Mutex<HashMap<String, Weak<Share>>>,
    places: Semaphore,
    turns: Semaphore,
    turns_of_tenant: usize,
}

/// What one tenant has.
pub(super) struct Share {
    small: SlotsOfTenant,
    large: SlotsOfTenant,
    turns: Semaphore,
}

#[derive(Default)]
struct SlotsOfTenant {
    /// Changed under the lock of the pool.
    taken: AtomicUsize,
    /// Held by the call that waits for the pool; the tenant's other calls stand in line behind it.
    waits: tokio::sync::Mutex<()>,
}

impl Shares {
    /// `threads` slices run at once, and `long_calls_max` of long calls.
    pub(super) fn new(threads: usize, long_calls_max: usize) -> Shares {
        Shares {
            tenants: Mutex::default(),
            places: Semaphore::new(threads.max(1)),
            turns: Semaphore::new(long_calls_max.max(1)),
            turns_of_tenant: long_calls_max.div_ceil(2).max(1),
        }
    }

    pub(super) fn of(&self, tenant: &str) -> Arc<Share> {
        let mut tenants = self.tenants.lock();
        if let Some(share) = tenants.get(tenant).and_then(Weak::upgrade) {
            return share;
        }
        tenants.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Share {
            small: SlotsOfTenant::default(),
            large: SlotsOfTenant::default(),
            turns: Semaphore::new(self.turns_of_tenant),
        });
        tenants.insert(tenant.to_owned(), Arc::downgrade(&share));
        share
    }

    /// Runs a guest, and stops it once it has run for `limit`. A guest never waits for anything: if it is
    /// pending, its slice is over. Time in which others have their slices doesn't count, or many slow guests
    /// would make each other time out. None: it took longer.
    pub(super) async fn run<T>(
        &self,
        share: &Share,
        limit: Duration,
        guest: impl Future<Output = T>,
    ) -> Option<T> {
        let mut guest = pin!(guest);
        let mut left = limit;
        if let Some(answer) = self.slice(guest.as_mut(), &mut left).await {
            return Some(answer);
        }
        while !left.is_zero() {
            // Neither is ever closed.
            let _of_tenant = share.turns.acquire().await;
            let _of_all = self.turns.acquire().await;
            if let Some(answer) = self.slice(guest.as_mut(), &mut left).await {
                return Some(answer);
            }
        }
        None
    }

    /// Polls a guest once, and subtracts the time that it took.
    async fn slice<T>(
        &self,
        mut guest: Pin<&mut impl Future<Output = T>>,
        left: &mut Duration,
    ) -> Option<T> {
        let _place = self.places.acquire().await;
        let started = Instant::now();
        let polled = poll_fn(|context| Poll::Ready(guest.as_mut().poll(context))).await;
        let took = started.elapsed();
        *left = left.saturating_sub(took);
        if polled.is_pending() || took > SHORT {
            tokio::task::yield_now().await;
        }
        match polled {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }
}

impl Share {
    fn slots(&self, pool: PoolName) -> &SlotsOfTenant {
        match pool {
            PoolName::Small => &self.small,
            PoolName::Large => &self.large,
        }
    }
}

/// The slots of one pool: an exhausted engine returns an error, it doesn't wait.
pub(super) struct SlotCount {
    pool: PoolName,
    max: usize,
    taken: Mutex<usize>,
    /// Tenants that wait.
    waiting: AtomicUsize,
    freed: Notify,
}

/// A slot, until it is dropped.
pub(super) struct Slot<'a> {
    count: &'a SlotCount,
    share: &'a Share,
}

impl SlotCount {
    pub(super) fn new(pool: PoolName, max: usize) -> SlotCount {
        let (taken, waiting, freed) = (Mutex::new(0), AtomicUsize::new(0), Notify::new());
        SlotCount { pool, max, taken, waiting, freed }
    }

    /// Waits for a slot.
    pub(super) async fn take<'a>(
        &'a self,
        share: &'a Share,
        wait_time_ms: u64,
    ) -> Result<Slot<'a>, CallError> {
        let own = share.slots(self.pool);
        if let Ok(_first) = own.waits.try_lock()
            && self.try_take(own)
        {
            return Ok(Slot { count: self, share });
        }
        let waited = timeout(Duration::from_millis(wait_time_ms), async {
            let _first = own.waits.lock().await;
            let _counted = Waiting::of(&self.waiting);
            loop {
                let mut freed = pin!(self.freed.notified());
                // From here on no notification is missed.
                freed.as_mut().enable();
                if self.try_take(own) {
                    return;
                }
                freed.await;
            }
        });
        waited.await.map_err(|_| CallError::Busy { waited_ms: wait_time_ms })?;
        Ok(Slot { count: self, share })
    }

    /// Slots that are taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        *self.taken.lock()
    }

    fn try_take(&self, own: &SlotsOfTenant) -> bool {
        let mut taken = self.taken.lock();
        let mine = own.taken.load(Relaxed) + 1;
        let left = self.max.saturating_sub(*taken + 1);
        if *taken == self.max || (mine > 1 && mine > left) {
            return false;
        }
        *taken += 1;
        own.taken.store(mine, Relaxed);
        true
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let own = self.share.slots(self.count.pool);
        let mut taken = self.count.taken.lock();
        *taken -= 1;
        own.taken.fetch_sub(1, Relaxed);
        // A waiter counts itself before it looks under the lock.
        let anybody = self.count.waiting.load(Relaxed) > 0;
        drop(taken);
        if anybody {
            self.count.freed.notify_waiters();
        }
    }
}

/// Counts a waiter until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Waiting<'_> {
    fn of(count: &AtomicUsize) -> Waiting<'_> {
        count.fetch_add(1, Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn taken<'a>(count: &'a SlotCount, share: &'a Share) -> Vec<Slot<'a>> {
        let mut slots = Vec::new();
        while let Ok(slot) = count.take(share, 0).await {
            slots.push(slot);
        }
        slots
    }

    #[tokio::test]
    async fn however_many_fill_their_share_there_is_a_slot_for_one_more() {
        let (shares, count) = (Shares::new(2, 1), SlotCount::new(PoolName::Small, 64));
        let tenants: Vec<_> = (0..6).map(|number| shares.of(&number.to_string())).collect();
        let mut held = Vec::new();
        for tenant in &tenants {
            held.push(taken(&count, tenant).await);
        }
        let counts: Vec<_> = held.iter().map(Vec::len).collect();
        assert_eq!(counts, [32, 16, 8, 4, 2, 1]);
        drop(held);
        assert_eq!(count.taken(), 0);
    }

    #[tokio::test]
    async fn the_only_slot_is_for_anybody_and_goes_to_who_waits() {
        let (shares, count) = (Shares::new(2, 1), SlotCount::new(PoolName::Large, 1));
        let (a, b) = (shares.of("a"), shares.of("b"));
        assert!(Arc::ptr_eq(&a, &shares.of("a")));
        let first = count.take(&a, 0).await.unwrap();
        let (second, third) = tokio::join!(count.take(&b, 60_000), async {
            let busy = count.take(&a, 0).await.err();
            drop(first);
            busy
        });
        assert!(second.is_ok());
        assert_eq!(third, Some(CallError::Busy { waited_ms: 0 }));
    }

    #[tokio::test]
    async fn long_calls_take_turns_by_tenant() {
        let shares = Shares::new(2, 1);
        let (many, one) = (shares.of("many"), shares.of("one"));
        let order = Mutex::new(Vec::new());
        // Each takes three slices.
        let call = |share: Arc<Share>, name: &'static str| {
            let (shares, order) = (&shares, &order);
            async move {
                let mut slices = 0;
                let guest = poll_fn(|_| {
                    slices += 1;
                    order.lock().push(name);
                    if slices == 3 { Poll::Ready(()) } else { Poll::Pending }
                });
                shares.run(&share, Duration::from_secs(60), guest).await
            }
        };
        let many_calls = (0..8).map(|_| call(many.clone(), "many"));
        let all = async {
            tokio::join!(futures_of(many_calls), call(one, "one"));
        };
        all.await;
        let order = order.into_inner();
        let last = order.iter().rposition(|name| *name == "one").unwrap();
        let before = order[..last].iter().filter(|name| **name == "many").count();
        assert!(
            before <= 8 + 4,
            "one slice of another call at most before each of its own: {order:?}"
        );
    }

    /// Waits for all.
    async fn futures_of(futures: impl Iterator<Item = impl Future<Output = Option<()>>>) {
        let mut futures: Vec<_> = futures.map(Box::pin).collect();
        poll_fn(|context| {
            futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
            if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[tokio::test]
    async fn a_guest_that_never_ends_is_given_up() {
        let shares = Shares::new(2, 1);
        let guest = poll_fn(|_| -> Poll<()> {
            std::thread::sleep(Duration::from_millis(1));
            Poll::Pending
        });
        assert_eq!(shares.run(&shares.of("a"), Duration::from_millis(3), guest).await, None);
    }
}
