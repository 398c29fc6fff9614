//! Connections that wait for their next request. They belong to a tenant: two tenants never share one, so
//! nothing that a tenant does to a connection reaches another's requests. How many wait is bounded for each
//! host of a tenant, each tenant and in all.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::connection::Connection;
use super::target::{PoolKey, Target};
use crate::config::DeliveryConfig;
use crate::model::TenantId;

/// How many connections wait, and for how long.
#[derive(Clone, Copy)]
struct Limits {
    per_host_max: usize,
    per_tenant_max: usize,
    max: usize,
    keep: Duration,
}

pub(super) struct Pool {
    limits: Limits,
    state: Mutex<State>,
    swept: AtomicBool,
}

#[derive(Default)]
struct State {
    tenants: HashMap<TenantId, Idle>,
    count: usize,
}

/// The waiting connections of one tenant.
#[derive(Default)]
struct Idle {
    /// The one that was used last is the last. A list may be empty until the next sweep.
    targets: HashMap<Target, Vec<Waiting>>,
    count: usize,
}

struct Waiting {
    since: Instant,
    connection: Connection,
}

impl Pool {
    pub(super) fn new(config: &DeliveryConfig) -> Arc<Pool> {
        let limits = Limits {
            per_host_max: config.idle_per_host_max,
            per_tenant_max: config.idle_per_tenant_max,
            max: config.idle_max,
            keep: Duration::from_millis(config.idle_ms),
        };
        Arc::new(Pool { limits, state: Mutex::default(), swept: AtomicBool::new(false) })
    }

    /// A connection that is open as far as is known.
    pub(super) fn take(&self, key: &PoolKey) -> Option<Connection> {
        let now = Instant::now();
        // Dropped after the lock.
        let mut useless = Vec::new();
        let mut state = self.state.lock();
        let state = &mut *state;
        let idle = state.tenants.get_mut(&key.tenant)?;
        let list = idle.targets.get_mut(&key.target)?;
        while let Some(waiting) = list.last_mut() {
            let usable = now < waiting.since + self.limits.keep && !waiting.connection.is_closed();
            if usable && let Some(shared) = waiting.connection.share() {
                waiting.since = now;
                return Some(shared);
            }
            let taken = list.pop();
            idle.count -= 1;
            state.count -= 1;
            match taken {
                Some(taken) if usable => return Some(taken.connection),
                taken => useless.extend(taken),
            }
        }
        None
    }

    /// Keeps a connection for the next request, if there is room for it.
    pub(super) fn put(self: &Arc<Self>, key: &PoolKey, connection: Connection) {
        if connection.is_closed() || self.limits.max == 0 || self.limits.keep.is_zero() {
            return;
        }
        self.sweep_from_now_on();
        let mut useless = Vec::new();
        let waiting = Waiting { since: Instant::now(), connection };
        let mut state = self.state.lock();
        state.insert(key, waiting, self.limits, &mut useless);
        drop(state);
    }

    /// The shared connection to the same target, if there is one by now; else keeps this one.
    pub(super) fn share(self: &Arc<Self>, key: &PoolKey, connection: Connection) -> Connection {
        if let Some(other) = self.take(key) {
            return other;
        }
        if let Some(shared) = connection.share() {
            self.put(key, shared);
        }
        connection
    }

    /// Gives a shared connection to nobody any more.
    pub(super) fn retire(&self, key: &PoolKey, connection: &Connection) {
        let mut useless = Vec::new();
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(idle) = state.tenants.get_mut(&key.tenant) else { return };
        let Some(list) = idle.targets.get_mut(&key.target) else { return };
        if let Some(at) = list.iter().position(|other| other.connection.is_same(connection)) {
            useless.push(list.remove(at));
            idle.count -= 1;
            state.count -= 1;
        }
    }

    /// Starts the task that closes connections nobody has used for long. It ends with the pool.
    fn sweep_from_now_on(self: &Arc<Self>) {
        if self.swept.swap(true, Ordering::Relaxed) {
            return;
        }
        let pool = Arc::downgrade(self);
        let every =
            (self.limits.keep / 2).clamp(Duration::from_millis(10), Duration::from_secs(30));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(pool) = pool.upgrade() else { return };
                pool.sweep();
            }
        });
    }

    fn sweep(&self) {
        let Some(before) = Instant::now().checked_sub(self.limits.keep) else { return };
        let mut useless = Vec::new();
        let mut state = self.state.lock();
        let state = &mut *state;
        for idle in state.tenants.values_mut() {
            let removed = useless.len();
            for list in idle.targets.values_mut() {
                useless.extend(list.extract_if(.., |waiting| {
                    waiting.since <= before || waiting.connection.is_closed()
                }));
            }
            idle.targets.retain(|_, list| !list.is_empty());
            idle.count -= useless.len() - removed;
            state.count -= useless.len() - removed;
        }
        state.tenants.retain(|_, idle| idle.count > 0);
    }
}

impl State {
    fn insert(
        &mut self,
        key: &PoolKey,
        waiting: Waiting,
        limits: Limits,
        useless: &mut Vec<Waiting>,
    ) {
        if !self.tenants.contains_key(&key.tenant) {
            self.tenants.insert(key.tenant.clone(), Idle::default());
        }
        let Some(idle) = self.tenants.get_mut(&key.tenant) else { return };
        if let Some(list) = idle.targets.get_mut(&key.target) {
            if list.len() >= limits.per_host_max {
                useless.push(waiting);
                return;
            }
            list.push(waiting);
        } else {
            if idle.targets.len() >= limits.per_tenant_max {
                idle.targets.retain(|_, list| !list.is_empty());
            }
            idle.targets.insert(key.target.clone(), vec![waiting]);
        }
        idle.count += 1;
        self.count += 1;
        if idle.count > limits.per_tenant_max {
            self.count -= idle.close_oldest(useless);
        }
        if self.count > limits.max
            && let Some(largest) = self.tenants.values_mut().max_by_key(|idle| idle.count)
        {
            self.count -= largest.close_oldest(useless);
        }
    }
}

impl Idle {
    /// Removes an eighth of the connections, those that have waited longest, and returns how many.
    fn close_oldest(&mut self, useless: &mut Vec<Waiting>) -> usize {
        let count = self.count.div_ceil(8);
        let mut times: Vec<_> = self.targets.values().flatten().map(|w| w.since).collect();
        if times.is_empty() {
            return 0;
        }
        let (_, last, _) = times.select_nth_unstable(count.clamp(1, self.count) - 1);
        let last = *last;
        let mut removed = 0;
        for list in self.targets.values_mut() {
            let old = list.extract_if(.., |waiting| {
                let goes = removed < count && waiting.since <= last;
                removed += usize::from(goes);
                goes
            });
            useless.extend(old);
        }
        self.targets.retain(|_, list| !list.is_empty());
        self.count -= removed;
        removed
    }
}
