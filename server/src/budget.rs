//! What is held at once, counted in bytes or connections: by the whole server and by each owner.
//!
//! An owner never holds more than it leaves to all others. So however many owners fill their share, there is
//! room for one more: with `n` of them, each gets at most `1/(n+1)` of the whole.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::model::TenantId;

/// Whose share something is counted against.
pub(crate) trait Owner: Clone + Eq + Hash {
    /// The limits of all kinds of owners.
    type Limits;

    /// The limit of this owner.
    fn limit(&self, limits: &Self::Limits) -> Limit;
}

impl Owner for TenantId {
    type Limits = Limit;

    fn limit(&self, limits: &Limit) -> Limit {
        *limits
    }
}

/// A maximum, who may hold it, and the name of its setting.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) by: &'static str,
    pub(crate) max: usize,
    pub(crate) setting: &'static str,
}

/// The limits of a [`Budget`].
pub(crate) struct Limits<O: Owner> {
    /// What is counted, for messages.
    pub(crate) what: &'static str,
    pub(crate) server: Limit,
    pub(crate) owners: O::Limits,
}

/// A limit that a caller has reached.
#[derive(Clone, Copy)]
pub(crate) struct Exceeded {
    what: &'static str,
    limit: Limit,
    /// The server as a whole, and not one caller, is at its limit.
    pub(crate) server: bool,
}

pub(crate) struct Budget<O: Owner> {
    limits: Limits<O>,
    /// Changed under the lock of `held`.
    used: AtomicUsize,
    /// Only owners that hold something.
    held: Mutex<HashMap<O, usize>>,
    freed: Notify,
}

/// A part of a budget, given back when it is dropped.
pub(crate) struct Charge<O: Owner> {
    budget: Arc<Budget<O>>,
    owners: Arc<[O]>,
    amount: usize,
}

impl Exceeded {
    pub(crate) fn setting(&self) -> &'static str {
        self.limit.setting
    }
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Exceeded { what, limit: Limit { by, max, setting }, .. } = self;
        write!(f, "{by} has too many {what} under way: at most {max} ({setting})")
    }
}

impl<O: Owner> Budget<O> {
    pub(crate) fn new(limits: Limits<O>) -> Arc<Budget<O>> {
        let (used, held) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Budget { limits, used, held, freed: Notify::new() })
    }

    /// What is held now, by all.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn exceeded(&self, owner: Option<&O>) -> Exceeded {
        let limit = owner.map_or(self.limits.server, |owner| owner.limit(&self.limits.owners));
        Exceeded { what: self.limits.what, limit, server: owner.is_none() }
    }

    fn owner_max(&self, owner: &O) -> usize {
        owner.limit(&self.limits.owners).max
    }

    /// Both checks and both changes are one step: what is only asked for never stands in another's way.
    fn take(&self, owners: &[O], amount: usize) -> Result<(), Exceeded> {
        let mut held = self.held.lock();
        let used = self.used().saturating_add(amount);
        let left = self.limits.server.max.checked_sub(used);
        let left = left.ok_or_else(|| self.exceeded(None))?;
        for owner in owners {
            let of_owner = held.get(owner).copied().unwrap_or_default() + amount;
            if of_owner > self.owner_max(owner) {
                return Err(self.exceeded(Some(owner)));
            }
            if of_owner > left {
                return Err(self.exceeded(None));
            }
        }
        for owner in owners {
            *held.entry(owner.clone()).or_default() += amount;
        }
        self.used.store(used, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, owners: &[O], amount: usize) {
        let mut held = self.held.lock();
        self.used.fetch_sub(amount, Ordering::Relaxed);
        for owner in owners {
            if let Some(of_owner) = held.get_mut(owner) {
                *of_owner = of_owner.saturating_sub(amount);
                if *of_owner == 0 {
                    held.remove(owner);
                }
            }
        }
        drop(held);
        self.freed.notify_waiters();
    }

    /// Whether an owner could hold this much if nobody else held anything.
    pub(crate) fn could_ever(&self, owner: &O, amount: usize) -> Result<(), Exceeded> {
        if amount > self.owner_max(owner) {
            return Err(self.exceeded(Some(owner)));
        }
        if amount > self.limits.server.max.div_ceil(2) { Err(self.exceeded(None)) } else { Ok(()) }
    }
}

impl<O: Owner> Charge<O> {
    /// Takes a part that only the whole server's limit applies to.
    pub(crate) fn of_server(budget: &Arc<Budget<O>>, amount: usize) -> Result<Charge<O>, Exceeded> {
        budget.take(&[], amount)?;
        Ok(Charge { budget: budget.clone(), owners: Arc::new([]), amount })
    }

    pub(crate) fn take(
        budget: &Arc<Budget<O>>,
        owners: &Arc<[O]>,
        amount: usize,
    ) -> Result<Charge<O>, Exceeded> {
        budget.take(owners, amount)?;
        Ok(Charge { budget: budget.clone(), owners: owners.clone(), amount })
    }

    /// Takes a part as soon as there is room for it, until `deadline` at the latest.
    pub(crate) async fn wait(
        budget: &Arc<Budget<O>>,
        owners: &Arc<[O]>,
        amount: usize,
        deadline: Instant,
    ) -> Result<Charge<O>, Exceeded> {
        owners.iter().try_for_each(|owner| budget.could_ever(owner, amount))?;
        loop {
            let mut freed = std::pin::pin!(budget.freed.notified());
            // From here on no notification is missed.
            freed.as_mut().enable();
            match Charge::take(budget, owners, amount) {
                Ok(charge) => return Ok(charge),
                Err(exceeded) if timeout_at(deadline, freed).await.is_err() => {
                    return Err(exceeded);
                }
                Err(_) => {}
            }
        }
    }

    /// Raises the part to `amount`, if it is less.
    pub(crate) fn raise(&mut self, amount: usize) -> Result<(), Exceeded> {
        if let Some(more) = amount.checked_sub(self.amount).filter(|more| *more > 0) {
            self.budget.take(&self.owners, more)?;
            self.amount = amount;
        }
        Ok(())
    }
}

impl<O: Owner> Drop for Charge<O> {
    fn drop(&mut self) {
        self.budget.give_back(&self.owners, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(server: usize, tenant: usize) -> Arc<Budget<TenantId>> {
        let limit = |by, max, setting| Limit { by, max, setting };
        Budget::new(Limits {
            what: "bytes",
            server: limit("the server", server, "s"),
            owners: limit("the tenant", tenant, "t"),
        })
    }

    fn tenant(name: &str) -> Arc<[TenantId]> {
        [name.parse().unwrap()].into()
    }

    fn refused_by<T>(taken: Result<T, Exceeded>) -> Option<&'static str> {
        taken.err().map(|exceeded| exceeded.setting())
    }

    #[test]
    fn an_owner_is_refused_at_its_limit_and_others_are_not() {
        let budget = budget(100, 30);
        let (a, b) = (tenant("a"), tenant("b"));
        let mut first = Charge::take(&budget, &a, 20).ok().unwrap();
        assert_eq!(refused_by(Charge::take(&budget, &a, 11)), Some("t"));
        assert_eq!(refused_by(first.raise(31)), Some("t"));
        first.raise(30).ok().unwrap();
        let second = Charge::take(&budget, &b, 30).ok().unwrap();
        assert_eq!(budget.used(), 60);
        drop((first, second));
        assert_eq!(budget.used(), 0);
        assert!(budget.held.lock().is_empty());
    }

    #[test]
    fn however_many_fill_their_share_there_is_room_for_one_more() {
        let budget = budget(1 << 30, 1 << 30);
        let mut held = Vec::new();
        for number in 0..8 {
            let mut charge = Charge::take(&budget, &tenant(&format!("t{number}")), 0).ok().unwrap();
            while charge.raise(charge.amount + (1 << 20)).is_ok() {}
            held.push(charge);
        }
        // Those that came later got less, but each got something.
        let amounts: Vec<_> = held.iter().map(|charge| charge.amount >> 20).collect();
        assert_eq!(amounts, [512, 256, 128, 64, 32, 16, 8, 4]);
        assert_eq!(refused_by(held[0].raise((512 << 20) + 1)), Some("s"));
    }

    #[test]
    fn what_belongs_to_no_owner_has_the_whole() {
        let budget = budget(100, 10);
        let all = Charge::of_server(&budget, 100).ok().unwrap();
        assert_eq!(refused_by(Charge::of_server(&budget, 1)), Some("s"));
        drop(all);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_waiter_gets_what_another_gives_back() {
        let budget = budget(100, 50);
        let a = tenant("a");
        let first = Charge::take(&budget, &a, 40).ok().unwrap();
        let soon = Instant::now() + std::time::Duration::from_secs(60);
        let second = tokio::spawn({
            let (budget, a) = (budget.clone(), a.clone());
            async move { Charge::wait(&budget, &a, 20, soon).await.is_ok() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(second.await.unwrap());
        // What can never be had is not waited for.
        assert_eq!(refused_by(Charge::wait(&budget, &a, 51, soon).await), Some("t"));
    }
}
