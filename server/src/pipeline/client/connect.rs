//! Connector for receivers: resolves the name, checks every address, connects to one of them, and does the
//! TLS handshake.

use std::io::{Error, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::{AddressPolicy, Refused};
use super::dns::cache::{DnsCache, NoAddress};
use super::metered::Stream;
use super::target::{PoolKey, Target};
use super::timing::Stopwatch;

/// Connect timeout of one address while there is another one to try.
const EACH: Duration = Duration::from_secs(3);

/// How long an address is tried alone before the next one is tried as well (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Addresses of one receiver that are tried at the same time: each is a socket.
const AT_ONCE: usize = 2;

/// Resolves, checks every address, and connects to the first one that accepts.
pub(super) struct Connector {
    pub(super) policy: AddressPolicy,
    pub(super) dns_cache: DnsCache,
    pub(super) tls: Arc<rustls::ClientConfig>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Unresolved(#[from] NoAddress),
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Connector {
    pub(super) async fn connect(
        &self,
        key: &PoolKey,
        stopwatch: Option<&Stopwatch>,
    ) -> Result<Stream, NoConnection> {
        let target = &key.target;
        let host = target.host();
        let lap = |ended: fn(&Stopwatch)| {
            if let Some(stopwatch) = stopwatch {
                ended(stopwatch);
            }
        };
        let addresses: Arc<[IpAddr]> = match host.parse::<IpAddr>() {
            Ok(address) => [address].into(),
            Err(_) => {
                let found = self.dns_cache.resolve(&key.tenant, host).await?;
                lap(Stopwatch::name_resolved);
                found
            }
        };
        let permitted = self.permitted(host, &addresses)?;
        let connected = first_of(&permitted, target.port()).await;
        let stream = connected.inspect_err(|_| self.dns_cache.forget(&key.tenant, host))?;
        stream.set_nodelay(true)?;
        lap(Stopwatch::connected);
        if !target.https {
            return Ok(Stream::Plain(stream));
        }
        let stream = self.handshake(target, stream).await?;
        lap(Stopwatch::secured);
        Ok(stream)
    }

    /// The addresses that the policy permits; an error if there are none.
    fn permitted(&self, host: &str, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, NoConnection> {
        let mut refused = None;
        let mut permitted = Vec::with_capacity(addresses.len());
        for address in addresses {
            match self.policy.check(*address) {
                Ok(()) => permitted.push(*address),
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(refused) if permitted.is_empty() => Err(refused.into()),
            None if permitted.is_empty() => {
                Err(Error::other(format!("{host} has no address")).into())
            }
            _ => Ok(permitted),
        }
    }

    async fn handshake(&self, target: &Target, stream: TcpStream) -> Result<Stream, Error> {
        let name = ServerName::try_from(target.host().to_owned()).map_err(Error::other)?;
        let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// Connects to the first address that accepts. Each gets a head start; the next one is tried as well if it
/// has not answered by then, or at once if it has refused.
async fn first_of(addresses: &[IpAddr], port: u16) -> std::io::Result<TcpStream> {
    let mut waiting = addresses.iter();
    let mut trying = FuturesUnordered::new();
    let mut last = Error::from(ErrorKind::AddrNotAvailable);
    loop {
        if trying.len() < AT_ONCE
            && let Some(address) = waiting.next()
        {
            trying.push(connect(*address, port, waiting.len() > 0));
        }
        let may_begin = trying.len() < AT_ONCE && waiting.len() > 0;
        tokio::select! {
            biased;
            ended = trying.next() => match ended {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => last = error,
                None => return Err(last),
            },
            () = tokio::time::sleep(HEAD_START), if may_begin => {}
        }
    }
}

async fn connect(address: IpAddr, port: u16, others: bool) -> std::io::Result<TcpStream> {
    let connecting = TcpStream::connect((address, port));
    if !others {
        return connecting.await;
    }
    let late = || Error::new(ErrorKind::TimedOut, format!("{address} did not answer"));
    tokio::time::timeout(EACH, connecting).await.unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_first_address_that_accepts_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let listening = IpAddr::from([127, 0, 0, 1]);
        // Nothing listens at the others of this machine, and nothing answers at a documentation address.
        let addresses = ["127.0.0.2", "192.0.2.1", "127.0.0.3"].map(|a| a.parse().unwrap());
        let addresses = [&addresses[..], &[listening]].concat();
        let stream = first_of(&addresses, port).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().ip(), listening);
        let nobody = first_of(&addresses[..1], port).await;
        assert_eq!(nobody.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}
