//! Resolves host names for tenants, and remembers what came of it. Look-ups under way and names remembered
//! are bounded for each tenant and in all, and tenants share neither: one whose name servers are silent, or
//! who has thousands of names, costs nobody else an answer. Remembered addresses are checked against the
//! address policy at every connect, like new ones.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;

use super::lookup_turns::{LookupTurns, Turn};
use super::name_servers::{Answer, NameServers};
use crate::config::DeliveryConfig;
use crate::model::TenantId;

/// An address is remembered for at least so long, whatever its owner says: it serves the connections that
/// are made at the same time.
const KEEP_MIN: Duration = Duration::from_secs(1);

/// Longer than anything is remembered.
const UNDER_WAY: Duration = Duration::from_secs(1 << 32);

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} can't be resolved: {why}")]
pub(crate) struct NoAddress {
    host: Arc<str>,
    why: Arc<str>,
}

type Found = Result<Answer, NoAddress>;
/// A look-up under way. Whoever wants the name polls it; once nobody does, it is gone with all it holds.
type Flight = BoxFuture<'static, Found>;

/// Recently resolved names.
pub(crate) struct DnsCache {
    keep: Duration,
    keep_negative: Duration,
    max: usize,
    per_tenant_max: usize,
    timeout: Duration,
    asked: Arc<Asked>,
    turns: Arc<LookupTurns>,
    known: Mutex<Known>,
}

/// Who is asked for addresses.
enum Asked {
    NameServers(Box<NameServers>),
    /// The C library. Each look-up occupies a thread for as long as that takes.
    System,
    #[cfg(test)]
    Test(LookUp),
}

#[cfg(test)]
type LookUp = Box<dyn Fn(Arc<str>) -> BoxFuture<'static, Result<Answer, String>> + Send + Sync>;

#[derive(Default)]
struct Known {
    tenants: HashMap<TenantId, Names>,
    count: usize,
}

type Names = HashMap<Arc<str>, Entry>;

enum Entry {
    UnderWay(WeakShared<Flight>),
    Seen { found: Result<Arc<[IpAddr]>, NoAddress>, until: Instant },
}

impl Entry {
    /// When the entry loses its use; none: it has already. A look-up under way is of use the longest.
    fn until(&self, now: Instant) -> Option<Instant> {
        match self {
            Entry::UnderWay(flight) => flight.upgrade().map(|_| now + UNDER_WAY),
            Entry::Seen { until, .. } => Some(*until).filter(|until| now < *until),
        }
    }
}

impl DnsCache {
    pub(crate) fn new(config: &DeliveryConfig) -> DnsCache {
        let mut cache = DnsCache::asking(Asked::System, config);
        if config.resolver == "system" {
            // A thread can't be told to stop, so a place is taken until it ends.
            let threads = config.lookup_threads_max;
            let per_tenant_max = config.lookups_per_tenant_max.min(threads.div_ceil(4));
            cache.turns = LookupTurns::new(config.lookups_max.min(threads), per_tenant_max);
        } else {
            cache.asked = Arc::new(Asked::NameServers(Box::new(NameServers::new(config))));
        }
        cache
    }

    fn asking(asked: Asked, config: &DeliveryConfig) -> DnsCache {
        DnsCache {
            keep: Duration::from_millis(config.dns_cache_ms),
            keep_negative: Duration::from_millis(config.dns_negative_cache_ms),
            max: config.dns_cache_max,
            per_tenant_max: config.dns_cache_per_tenant_max,
            timeout: Duration::from_millis(config.lookup_timeout_ms),
            asked: Arc::new(asked),
            turns: LookupTurns::new(config.lookups_max, config.lookups_per_tenant_max),
            known: Mutex::default(),
        }
    }

    /// The addresses of `host`. Waits for a place among the look-ups of the tenant if the name is not known.
    pub(crate) async fn resolve(
        &self,
        tenant: &TenantId,
        host: &str,
    ) -> Result<Arc<[IpAddr]>, NoAddress> {
        if let Asked::NameServers(servers) = &*self.asked
            && servers.refresh()
        {
            *self.known.lock() = Known::default();
        }
        let flight = match self.seen(tenant, host) {
            Ok(found) => return found,
            Err(flight) => flight,
        };
        let found = flight.clone().await;
        self.remember(tenant, host, &flight, &found);
        found.map(|answer| answer.addresses)
    }

    /// Removes a name, because none of its addresses accepted a connection: the next call looks it up.
    pub(crate) fn forget(&self, tenant: &TenantId, host: &str) {
        let mut known = self.known.lock();
        let names = known.tenants.get_mut(tenant);
        if names.is_some_and(|names| names.remove(host).is_some()) {
            known.count -= 1;
        }
    }

    /// What is remembered of a name, or the look-up to wait for.
    fn seen(
        &self,
        tenant: &TenantId,
        host: &str,
    ) -> Result<Result<Arc<[IpAddr]>, NoAddress>, Shared<Flight>> {
        let mut known = self.known.lock();
        let known = &mut *known;
        if let Some(entry) = known.tenants.get_mut(tenant).and_then(|names| names.get_mut(host)) {
            match entry {
                Entry::Seen { found, until } if Instant::now() < *until => return Ok(found.clone()),
                Entry::UnderWay(flight) => {
                    if let Some(flight) = flight.upgrade() {
                        return Err(flight);
                    }
                }
                Entry::Seen { .. } => {}
            }
            let flight = self.flight(tenant, host);
            if let Some(weak) = flight.downgrade() {
                *entry = Entry::UnderWay(weak);
            }
            return Err(flight);
        }
        let flight = self.flight(tenant, host);
        if let Some(weak) = flight.downgrade() {
            known.make_room(tenant, self.per_tenant_max, self.max);
            let names = known.tenants.entry(tenant.clone()).or_default();
            names.insert(host.into(), Entry::UnderWay(weak));
            known.count += 1;
        }
        Err(flight)
    }

    fn flight(&self, tenant: &TenantId, host: &str) -> Shared<Flight> {
        let (asked, turns, timeout) = (self.asked.clone(), self.turns.clone(), self.timeout);
        let (tenant, host): (_, Arc<str>) = (tenant.clone(), host.into());
        let look_up = async move {
            let turn = turns.take(&tenant).await;
            let found = tokio::time::timeout(timeout, asked.look_up(host.clone(), turn)).await;
            let found = found.unwrap_or_else(|_| {
                let after_ms = timeout.as_millis();
                Err(format!("no answer within {after_ms} ms (delivery.lookup_timeout_ms)"))
            });
            found.map_err(|why| NoAddress { host, why: why.into() })
        };
        look_up.boxed().shared()
    }

    /// Replaces the look-up by what came of it. Of many that waited, the first does.
    fn remember(&self, tenant: &TenantId, host: &str, flight: &Shared<Flight>, found: &Found) {
        let (found, keep) = match found {
            Ok(answer) => {
                let keep = self.keep.min(answer.good_for.max(KEEP_MIN));
                (Ok(answer.addresses.clone()), keep)
            }
            Err(none) => (Err(none.clone()), self.keep_negative),
        };
        let mut known = self.known.lock();
        let Some(names) = known.tenants.get_mut(tenant) else { return };
        let Some(entry) = names.get_mut(host) else { return };
        if let Entry::UnderWay(weak) = entry
            && weak.upgrade().is_some_and(|current| current.ptr_eq(flight))
        {
            *entry = Entry::Seen { found, until: Instant::now() + keep };
        }
    }
}

impl Known {
    /// Makes room for one more name of a tenant. If there is none in all, the tenant with the most names
    /// gives up half of them.
    fn make_room(&mut self, tenant: &TenantId, per_tenant_max: usize, max: usize) {
        if self.tenants.get(tenant).is_some_and(|names| names.len() >= per_tenant_max) {
            self.halve(tenant);
        }
        if self.count >= max {
            let largest = self.tenants.iter().max_by_key(|(_, names)| names.len());
            if let Some(tenant) = largest.map(|(tenant, _)| tenant.clone()) {
                self.halve(&tenant);
            }
        }
    }

    /// Removes the names of a tenant that are of no use any more, and at least half of all: those that would
    /// be of no use first.
    fn halve(&mut self, tenant: &TenantId) {
        let Some(names) = self.tenants.get_mut(tenant) else { return };
        let (now, before) = (Instant::now(), names.len());
        names.retain(|_, entry| entry.until(now).is_some());
        let to_go = names.len().saturating_sub(before / 2);
        if to_go > 0 {
            let mut ends: Vec<_> = names.values().filter_map(|entry| entry.until(now)).collect();
            let (_, last, _) = ends.select_nth_unstable(to_go - 1);
            let last = *last;
            let mut left = to_go;
            names.retain(|_, entry| {
                let goes = left > 0 && entry.until(now).is_none_or(|until| until <= last);
                left -= usize::from(goes);
                !goes
            });
        }
        self.count -= before - names.len();
        if names.is_empty() {
            self.tenants.remove(tenant);
        }
    }
}

impl Asked {
    async fn look_up(&self, host: Arc<str>, turn: Turn) -> Result<Answer, String> {
        match self {
            Asked::NameServers(servers) => servers.ask(&host).await,
            Asked::System => {
                let addresses = tokio::task::spawn_blocking(move || {
                    let _until_the_thread_ends = turn;
                    let found = (&*host, 0).to_socket_addrs()?;
                    Ok::<_, std::io::Error>(found.map(|address| address.ip()).collect())
                });
                let addresses: Arc<[IpAddr]> = match addresses.await {
                    Ok(found) => found.map_err(|error| error.to_string())?,
                    Err(error) => return Err(error.to_string()),
                };
                if addresses.is_empty() {
                    return Err("it has no address".to_owned());
                }
                Ok(Answer { addresses, good_for: Duration::MAX })
            }
            #[cfg(test)]
            Asked::Test(look_up) => look_up(host).await,
        }
    }
}
