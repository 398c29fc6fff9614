//! Connector for receivers: resolves the name, checks every address, and connects to one of them.

use std::future::Future;
use std::io::{Error, ErrorKind};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::address::AddressPolicy;
use super::dns_cache::DnsCache;
use super::timing::Stopwatch;

/// Connect timeout of one address while there is another one to try.
const EACH: Duration = Duration::from_secs(3);

/// Resolves, checks every address, and connects to the first one that accepts.
#[derive(Clone)]
pub(super) struct Guarded {
    pub(super) policy: Arc<AddressPolicy>,
    pub(super) dns_cache: Arc<DnsCache>,
    pub(super) stopwatch: Option<Arc<Stopwatch>>,
}

impl Guarded {
    async fn connect(self, uri: Uri) -> std::io::Result<TokioIo<TcpStream>> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let addresses: Arc<[IpAddr]> = match host.parse::<IpAddr>() {
            Ok(address) => [address].into(),
            Err(_) => {
                let (found, _) = self.dns_cache.resolve(host).await?;
                self.stopwatch.iter().for_each(|stopwatch| stopwatch.name_resolved());
                found
            }
        };
        let mut last = Error::other(format!("{host} has no address"));
        for (number, address) in addresses.iter().enumerate() {
            if let Err(refused) = self.policy.check(*address) {
                last = Error::new(ErrorKind::PermissionDenied, refused);
                continue;
            }
            let connecting = TcpStream::connect((*address, port));
            let connected = if number + 1 < addresses.len() {
                let late = || Error::new(ErrorKind::TimedOut, format!("{address} did not answer"));
                tokio::time::timeout(EACH, connecting).await.unwrap_or_else(|_| Err(late()))
            } else {
                connecting.await
            };
            match connected {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    self.stopwatch.iter().for_each(|stopwatch| stopwatch.connected());
                    return Ok(TokioIo::new(stream));
                }
                Err(error) => last = error,
            }
        }
        self.dns_cache.forget(host);
        Err(last)
    }
}

impl tower_service::Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<TokioIo<TcpStream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}
