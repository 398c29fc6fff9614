//! Which connections wait, and which are closed.

use http::Uri;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::pipeline::client::connection::Protocols;
use crate::pipeline::client::metered::Stream;
use crate::pipeline::client::target::Target;

/// Accepts connections and keeps them.
async fn listener() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    address
}

async fn connection(address: &str) -> Connection {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut connection = Protocols::new(1_024).open(Stream::Plain(stream)).await.unwrap();
    assert!(connection.ready().await);
    connection
}

fn key(tenant: &str, host: &str) -> PoolKey {
    let uri: Uri = format!("http://{host}/").parse().unwrap();
    PoolKey { tenant: tenant.parse().unwrap(), target: Target::of(&uri).unwrap() }
}

fn counted(pool: &Pool) -> usize {
    let state = pool.state.lock();
    let waiting = state.tenants.values().map(|idle| {
        let count: usize = idle.targets.values().map(Vec::len).sum();
        assert_eq!(count, idle.count);
        count
    });
    let count = waiting.sum();
    assert_eq!(count, state.count);
    count
}

#[tokio::test]
async fn a_connection_is_its_tenants_and_its_targets() {
    let address = listener().await;
    let pool = Pool::new(&DeliveryConfig::default());
    pool.put(&key("a", "h.example"), connection(&address).await);
    for other in [key("b", "h.example"), key("a", "i.example"), key("a", "h.example:81")] {
        assert!(pool.take(&other).is_none(), "{other:?}");
    }
    let https = Target::of(&Uri::from_static("https://h.example/")).unwrap();
    assert!(pool.take(&PoolKey { target: https, ..key("a", "h.example") }).is_none());
    assert!(pool.take(&key("a", "H.example")).is_some());
    assert_eq!(counted(&pool), 0);
}

#[tokio::test]
async fn a_tenant_with_many_hosts_closes_its_own() {
    let address = listener().await;
    let config = DeliveryConfig {
        idle_per_host_max: 2,
        idle_per_tenant_max: 16,
        idle_max: 24,
        ..DeliveryConfig::default()
    };
    let pool = Pool::new(&config);
    for _ in 0..3 {
        pool.put(&key("small", "h.example"), connection(&address).await);
    }
    assert_eq!(counted(&pool), 2, "two for one host");
    for tenant in ["large", "larger"] {
        for n in 0..40 {
            pool.put(&key(tenant, &format!("{n}.example")), connection(&address).await);
            assert!(counted(&pool) <= 24);
            let state = pool.state.lock();
            assert!(state.tenants.values().all(|idle| idle.count <= 16));
        }
    }
    let last = pool.take(&key("larger", "39.example"));
    assert!(last.is_some(), "those that have waited longest go");
    assert!(pool.take(&key("larger", "0.example")).is_none());
    for _ in 0..2 {
        assert!(pool.take(&key("small", "h.example")).is_some());
    }
}

#[tokio::test]
async fn idle_and_closed_connections_go() {
    let address = listener().await;
    let config = DeliveryConfig { idle_ms: 20, ..DeliveryConfig::default() };
    let pool = Pool::new(&config);
    pool.put(&key("a", "h.example"), connection(&address).await);
    while counted(&pool) > 0 {
        tokio::task::yield_now().await;
    }
    assert!(pool.state.lock().tenants.is_empty());
    let pool = Pool::new(&DeliveryConfig { idle_ms: 0, ..DeliveryConfig::default() });
    pool.put(&key("a", "h.example"), connection(&address).await);
    assert_eq!(counted(&pool), 0);
}
