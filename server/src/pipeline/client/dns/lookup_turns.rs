//! Limits look-ups in flight, for each tenant and in all. A place that becomes free goes to the tenant that
//! has the fewest look-ups in flight, so a tenant whose name servers are silent waits for itself only.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::model::TenantId;

pub(super) struct LookupTurns {
    max: usize,
    per_tenant_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_flight: usize,
    tenants: HashMap<TenantId, Share>,
    numbers: u64,
}

#[derive(Default)]
struct Share {
    in_flight: usize,
    /// Who waits, in order of arrival. Some have given up.
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    number: u64,
    place: oneshot::Sender<Turn>,
}

/// The right to one look-up; dropping it passes it on.
pub(super) struct Turn {
    turns: Arc<LookupTurns>,
    tenant: TenantId,
    /// False: its place has been given back already.
    counts: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.counts {
            self.turns.give_back(&self.tenant);
            self.turns.pass_on();
        }
    }
}

impl LookupTurns {
    pub(super) fn new(max: usize, per_tenant_max: usize) -> Arc<LookupTurns> {
        Arc::new(LookupTurns { max, per_tenant_max, state: Mutex::default() })
    }

    /// Waits for a place. Dropping the future gives up the wait.
    pub(super) async fn take(self: &Arc<Self>, tenant: &TenantId) -> Turn {
        let waiting = {
            let mut state = self.state.lock();
            let state = &mut *state;
            let share = state.tenants.entry(tenant.clone()).or_default();
            if state.in_flight < self.max && share.in_flight < self.per_tenant_max {
                state.in_flight += 1;
                share.in_flight += 1;
                None
            } else {
                state.numbers += 1;
                let (place, waiting) = oneshot::channel();
                share.waiting.push_back(Waiter { number: state.numbers, place });
                Some(waiting)
            }
        };
        match waiting {
            None => self.turn(tenant, true),
            // The sender is dropped with its place in the queue only if `self` goes, which the caller holds.
            Some(waiting) => waiting.await.unwrap_or_else(|_| self.turn(tenant, false)),
        }
    }

    fn turn(self: &Arc<Self>, tenant: &TenantId, counts: bool) -> Turn {
        Turn { turns: self.clone(), tenant: tenant.clone(), counts }
    }

    fn give_back(&self, tenant: &TenantId) {
        let mut state = self.state.lock();
        state.in_flight -= 1;
        if let Some(share) = state.tenants.get_mut(tenant) {
            share.in_flight -= 1;
            if share.in_flight == 0 && share.waiting.is_empty() {
                state.tenants.remove(tenant);
            }
        }
    }

    /// Gives free places to whoever waits.
    fn pass_on(self: &Arc<Self>) {
        while let Some((tenant, place)) = self.next() {
            if let Err(mut turn) = place.send(self.turn(&tenant, true)) {
                // Whoever waited has given up. Its place goes on in this loop, not in a drop within a drop.
                turn.counts = false;
                self.give_back(&tenant);
            }
        }
    }

    /// Takes a place for the next that waits.
    fn next(&self) -> Option<(TenantId, oneshot::Sender<Turn>)> {
        let mut state = self.state.lock();
        if state.in_flight >= self.max {
            return None;
        }
        let waiting = state.tenants.iter().filter_map(|(tenant, share)| {
            let first = share.waiting.front()?;
            let may = share.in_flight < self.per_tenant_max;
            may.then_some((share.in_flight, first.number, tenant))
        });
        let (_, _, tenant) = waiting.min_by_key(|(in_flight, number, _)| (*in_flight, *number))?;
        let tenant = tenant.clone();
        let share = state.tenants.get_mut(&tenant)?;
        let waiter = share.waiting.pop_front()?;
        share.in_flight += 1;
        state.in_flight += 1;
        Some((tenant, waiter.place))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    #[tokio::test]
    async fn a_tenant_that_hangs_waits_for_itself_only() {
        let turns = LookupTurns::new(10, 2);
        let (a, b) = (tenant("a"), tenant("b"));
        let (first, _second) = (turns.take(&a).await, turns.take(&a).await);
        assert!(turns.take(&a).now_or_never().is_none());
        let _other = turns.take(&b).now_or_never().expect("another tenant has its own places");
        drop(first);
        let third = turns.take(&a).now_or_never();
        assert!(third.is_some(), "who gave up the wait holds nothing");
    }

    #[tokio::test]
    async fn a_free_place_goes_to_who_has_the_fewest() {
        let turns = LookupTurns::new(3, 3);
        let (a, b) = (tenant("a"), tenant("b"));
        let mut hanging = Vec::new();
        for _ in 0..3 {
            hanging.push(turns.take(&a).await);
        }
        let mut fourth = Box::pin(turns.take(&a));
        assert!(fourth.as_mut().now_or_never().is_none());
        let mut other = Box::pin(turns.take(&b));
        assert!(other.as_mut().now_or_never().is_none());
        drop(hanging.pop());
        assert!(fourth.as_mut().now_or_never().is_none(), "it came first, but has two in flight");
        let other = other.as_mut().now_or_never().expect("the other tenant's turn");
        drop(other);
        drop(fourth.as_mut().now_or_never().expect("now it is free"));
        drop(hanging);
        let state = turns.state.lock();
        assert_eq!((state.in_flight, state.tenants.len()), (0, 0));
    }

    #[tokio::test]
    async fn thousands_who_gave_up_hold_nothing() {
        let turns = LookupTurns::new(1, 1);
        let a = tenant("a");
        let held = turns.take(&a).await;
        for _ in 0..100_000 {
            assert!(turns.take(&a).now_or_never().is_none());
        }
        drop(held);
        assert!(turns.take(&a).now_or_never().is_some());
        assert!(turns.state.lock().tenants.is_empty());
    }
}
