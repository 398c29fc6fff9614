//! DNS cache: a lookup occupies a thread, and a thousand deliveries to one receiver share one name. The
//! system's resolver reports no TTL, so the lifetime is a setting. Cached addresses are checked against
//! the address policy at every connect, like fresh ones.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Recently resolved names.
pub(super) struct DnsCache {
    keep: Duration,
    max: usize,
    known: Mutex<HashMap<String, Arc<Entry>>>,
}

#[derive(Default)]
struct Entry {
    found: Mutex<Option<Addresses>>,
    /// Held during a lookup; concurrent callers wait for its result.
    looked_up: tokio::sync::Mutex<()>,
}

struct Addresses {
    addresses: Arc<[IpAddr]>,
    until: Instant,
}

impl Entry {
    fn fresh(&self) -> Option<Arc<[IpAddr]>> {
        let found = self.found.lock();
        let fresh = found.as_ref().filter(|found| Instant::now() < found.until)?;
        Some(fresh.addresses.clone())
    }
}

impl DnsCache {
    /// Caches up to `max` names for `keep`; if `keep` is zero, every call looks up the name.
    pub(super) fn new(keep: Duration, max: usize) -> DnsCache {
        DnsCache { keep, max, known: Mutex::default() }
    }

    /// The addresses of `host`, and whether they were looked up for this call.
    pub(super) async fn resolve(&self, host: &str) -> std::io::Result<(Arc<[IpAddr]>, bool)> {
        self.resolve_with(host, look_up).await
    }

    async fn resolve_with(
        &self,
        host: &str,
        look_up: impl AsyncFn(&str) -> std::io::Result<Vec<IpAddr>>,
    ) -> std::io::Result<(Arc<[IpAddr]>, bool)> {
        let Some(name) = self.place(host) else { return Ok((look_up(host).await?.into(), true)) };
        if let Some(addresses) = name.fresh() {
            return Ok((addresses, false));
        }
        let _alone = name.looked_up.lock().await;
        if let Some(addresses) = name.fresh() {
            return Ok((addresses, false));
        }
        let addresses: Arc<[IpAddr]> = look_up(host).await?.into();
        let until = Instant::now() + self.keep;
        *name.found.lock() = Some(Addresses { addresses: addresses.clone(), until });
        Ok((addresses, true))
    }

    /// Removes a name, because none of its addresses accepted a connection: the next call looks it up.
    pub(super) fn forget(&self, host: &str) {
        self.known.lock().remove(host);
    }

    /// The cache entry of a name, if there is room for it.
    fn place(&self, host: &str) -> Option<Arc<Entry>> {
        if self.keep.is_zero() {
            return None;
        }
        let mut known = self.known.lock();
        if let Some(name) = known.get(host) {
            return Some(name.clone());
        }
        if known.len() >= self.max {
            known.retain(|_, name| name.fresh().is_some());
        }
        (known.len() < self.max).then(|| known.entry(host.to_owned()).or_default().clone())
    }
}

async fn look_up(host: &str) -> std::io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((host, 0)).await;
    let found = found
        .map_err(|error| std::io::Error::other(format!("{host} can't be resolved: {error}")))?;
    Ok(found.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_name_is_looked_up_once_by_many_and_again_when_it_was_forgotten() {
        let names = DnsCache::new(Duration::from_secs(3_600), 10);
        let count = AtomicUsize::new(0);
        let look_up = async |_: &str| {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        };
        let all = (0..50).map(|_| names.resolve_with("a.example", look_up));
        let all = futures_util::future::join_all(all).await;
        let looked_up = all.iter().filter(|one| one.as_ref().is_ok_and(|(_, new)| *new)).count();
        assert_eq!((looked_up, count.load(Ordering::Relaxed)), (1, 1));
        names.forget("a.example");
        assert!(names.resolve_with("a.example", look_up).await.unwrap().1);
    }

    #[tokio::test]
    async fn a_failure_is_not_kept_and_the_list_is_bounded() {
        let names = DnsCache::new(Duration::from_secs(3_600), 2);
        let failing = async |_: &str| Err(std::io::Error::other("no"));
        assert!(names.resolve_with("a", failing).await.is_err());
        let working = async |_: &str| Ok(vec![IpAddr::from([10, 0, 0, 1])]);
        for name in ["a", "b", "c", "d"] {
            assert!(names.resolve_with(name, working).await.unwrap().1, "{name}");
        }
        assert_eq!(names.known.lock().len(), 2);
        assert!(names.resolve_with("d", working).await.unwrap().1, "no room for it");
        assert!(!names.resolve_with("a", working).await.unwrap().1);
    }
}
