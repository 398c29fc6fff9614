//! What the cache of host names keeps, and for whom.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Names that begin with `no` don't exist; those that begin with `hang` are never answered.
fn cache(config: &DeliveryConfig) -> (DnsCache, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let look_up: LookUp = Box::new(move |host| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            if host.starts_with("hang") {
                std::future::pending::<()>().await;
            }
            if host.starts_with("no") {
                return Err("the name does not exist".to_owned());
            }
            let addresses = [IpAddr::from([127, 0, 0, 1])].into();
            Ok(Answer { addresses, good_for: Duration::MAX })
        }
        .boxed()
    });
    (DnsCache::asking(Asked::Test(look_up), config), count)
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn long() -> DeliveryConfig {
    DeliveryConfig {
        dns_cache_ms: 3_600_000,
        dns_negative_cache_ms: 3_600_000,
        lookup_timeout_ms: 3_600_000,
        ..DeliveryConfig::default()
    }
}

#[tokio::test]
async fn a_name_is_looked_up_once_by_many_and_again_when_it_was_forgotten() {
    let (names, count) = cache(&long());
    let a = tenant("a");
    let all = (0..50).map(|_| names.resolve(&a, "a.example"));
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    names.forget(&a, "a.example");
    names.resolve(&a, "a.example").await.unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 2);
    names.resolve(&tenant("b"), "a.example").await.unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 3, "tenants share nothing");
}

#[tokio::test]
async fn whoever_waits_goes_on_when_the_first_gives_up() {
    let (names, count) = cache(&long());
    let a = tenant("a");
    let mut first = names.resolve(&a, "a.example").boxed();
    assert!(first.as_mut().now_or_never().is_none());
    let mut second = names.resolve(&a, "a.example").boxed();
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    second.await.unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_remembered_for_its_time() {
    let (names, count) = cache(&long());
    let a = tenant("a");
    let error = names.resolve(&a, "no.example").await.unwrap_err();
    assert_eq!(error.to_string(), "no.example can't be resolved: the name does not exist");
    assert_eq!(names.resolve(&a, "no.example").await.unwrap_err(), error);
    assert_eq!(count.load(Ordering::Relaxed), 1);
    let (names, count) = cache(&DeliveryConfig { dns_negative_cache_ms: 0, ..long() });
    for _ in 0..2 {
        names.resolve(&a, "no.example").await.unwrap_err();
    }
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn look_ups_that_hang_end_and_free_their_places() {
    let config = DeliveryConfig { lookups_per_tenant_max: 2, lookup_timeout_ms: 20, ..long() };
    let (names, count) = cache(&config);
    let a = tenant("a");
    let hosts: Vec<_> = (0..6).map(|n| format!("hang{n}.example")).collect();
    let all = futures_util::future::join_all(hosts.iter().map(|host| names.resolve(&a, host)));
    for ended in all.await {
        let error = ended.unwrap_err().to_string();
        assert!(error.contains("no answer within 20 ms"), "{error}");
    }
    assert_eq!(count.load(Ordering::Relaxed), 6);
    names.resolve(&a, "a.example").await.unwrap();
}

#[tokio::test]
async fn a_tenant_that_hangs_or_gives_up_holds_nobody_else() {
    let config = DeliveryConfig { lookups_per_tenant_max: 2, lookups_max: 4, ..long() };
    let (names, count) = cache(&config);
    let a = tenant("a");
    let hosts: Vec<_> = (0..50).map(|n| format!("hang{n}.example")).collect();
    let mut hanging: Vec<_> = hosts.iter().map(|host| names.resolve(&a, host).boxed()).collect();
    for one in &mut hanging {
        assert!(one.as_mut().now_or_never().is_none());
    }
    assert_eq!(count.load(Ordering::Relaxed), 2, "the others wait for their turn");
    names.resolve(&tenant("b"), "a.example").await.unwrap();
    drop(hanging);
    names.resolve(&a, "a.example").await.unwrap();
}

#[tokio::test]
async fn names_of_one_tenant_push_out_no_others() {
    let config = DeliveryConfig { dns_cache_per_tenant_max: 100, dns_cache_max: 150, ..long() };
    let (names, count) = cache(&config);
    for n in 0..10 {
        names.resolve(&tenant("small"), &format!("{n}.example")).await.unwrap();
    }
    for tenant in ["x", "y", "z"].map(tenant) {
        for n in 0..1_000 {
            names.resolve(&tenant, &format!("{n}.example")).await.unwrap();
        }
        let known = names.known.lock();
        assert!(known.tenants[&tenant].len() <= 100 && known.count <= 150);
        let counted: usize = known.tenants.values().map(HashMap::len).sum();
        assert_eq!(counted, known.count);
    }
    let before = count.load(Ordering::Relaxed);
    for n in 0..10 {
        names.resolve(&tenant("small"), &format!("{n}.example")).await.unwrap();
    }
    assert_eq!(count.load(Ordering::Relaxed), before, "all of the small tenant's are still known");
}
