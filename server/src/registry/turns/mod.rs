//! Turns of tenants: the changes of one tenant run one after the other, those of different tenants beside
//! each other. What takes long (compiling, calling plugins) happens before the turn.

pub(super) mod compile_pool;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::ChangeError;
use crate::model::TenantId;

type Locks = Mutex<HashMap<TenantId, Arc<tokio::sync::Mutex<()>>>>;

/// One lock per tenant, which exists while somebody holds it or waits for it.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Locks>);

/// The turn of a tenant, until it is dropped.
pub(super) struct Turn {
    locks: Arc<Locks>,
    tenant: TenantId,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the tenant's turn.
    pub(super) async fn of(&self, tenant: &TenantId) -> Turn {
        let lock = self.0.lock().entry(tenant.clone()).or_default().clone();
        self.take(tenant, lock).await
    }

    /// As [`Turns::of`], unless `waiting_max` others wait already.
    pub(super) async fn of_few(
        &self,
        tenant: &TenantId,
        waiting_max: usize,
    ) -> Result<Turn, ChangeError> {
        let lock = {
            let mut locks = self.0.lock();
            let lock = locks.entry(tenant.clone()).or_default();
            // One reference is that of the map, one that of the holder.
            if Arc::strong_count(lock) > waiting_max.saturating_add(1) {
                return Err(ChangeError::Busy(format!(
                    "{waiting_max} changes of this tenant wait already (tenant.changes_waiting_max)"
                )));
            }
            lock.clone()
        };
        Ok(self.take(tenant, lock).await)
    }

    async fn take(&self, tenant: &TenantId, lock: Arc<tokio::sync::Mutex<()>>) -> Turn {
        // Made before waiting, so that a caller that gives up leaves no lock behind.
        let mut turn = Turn { locks: self.0.clone(), tenant: tenant.clone(), held: None };
        turn.held = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut locks = self.locks.lock();
        self.held = None;
        if locks.get(&self.tenant).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn tenants_do_not_wait_for_each_other() {
        let turns = Turns::default();
        let (one, other) = ("one".parse().unwrap(), "other".parse().unwrap());
        let first = turns.of(&one).await;
        let second = turns.of(&other).await;
        let mut waits = Box::pin(turns.of(&one));
        assert!((&mut waits).now_or_never().is_none());
        drop(first);
        let third = waits.await;
        drop((second, third));
        assert!(turns.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_leaves_nothing_behind() {
        let turns = Turns::default();
        let one = "one".parse().unwrap();
        let first = turns.of(&one).await;
        let mut waits = Box::pin(turns.of(&one));
        assert!((&mut waits).now_or_never().is_none());
        drop(first);
        drop(waits);
        assert!(turns.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_tenant_with_too_many_changes_is_busy() {
        let turns = Turns::default();
        let one = "one".parse().unwrap();
        let _first = turns.of_few(&one, 1).await.unwrap();
        let mut waits = Box::pin(turns.of_few(&one, 1));
        assert!((&mut waits).now_or_never().is_none());
        assert!(matches!(turns.of_few(&one, 1).await, Err(ChangeError::Busy(_))));
    }
}
