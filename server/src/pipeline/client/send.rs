//! Sends one HTTP request: address checked, one deadline for the whole exchange, no redirects. HTTP/2 if
//! the receiver negotiates it over TLS, else HTTP/1.1.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use http::header::CONTENT_ENCODING;
use hyper_rustls::ConfigBuilderExt;

use super::address::AddressPolicy;
use super::connect::Connector;
use super::connection::Protocols;
use super::connection_pool::Pool;
use super::dns::cache::DnsCache;
use super::exchange::{Coming, Exchange};
use super::request::Routed;
pub use super::request::{Outgoing, SendError};
use super::timing::{Stopwatch, Timing};
use crate::config::DeliveryConfig;
use crate::content_coding::{Codings, Decoded, End};
use crate::model::Response;

/// Protocols offered to the receiver (ALPN), the preferred one first.
const OFFERED: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A connection that fails sooner than this is retried once, immediately.
const QUICK: Duration = Duration::from_secs(1);

/// Result of a request: the response, or an error with the part of the response received before it.
#[derive(Clone, Debug)]
pub struct Sent {
    pub response: Option<Response>,
    pub error: Option<SendError>,
}

impl Sent {
    /// The response, if it was received without an error.
    pub fn answer(&self) -> Result<&Response, &SendError> {
        const NOTHING: &SendError = &SendError::TimedOut(0);
        match (&self.error, &self.response) {
            (None, Some(response)) => Ok(response),
            (error, _) => Err(error.as_ref().unwrap_or(NOTHING)),
        }
    }
}

impl From<SendError> for Sent {
    fn from(error: SendError) -> Sent {
        Sent { response: None, error: Some(error) }
    }
}

/// Carries requests in place of the real network when a node is simulated.
pub type Network = Arc<dyn Fn(Outgoing) -> BoxFuture<'static, Sent> + Send + Sync>;

/// The HTTP client shared by all deliveries.
#[derive(Clone)]
pub struct Sender {
    network: Option<Network>,
    exchange: Arc<Exchange>,
}

impl Sender {
    /// Fails if the machine has no root certificates.
    pub fn new(policy: AddressPolicy, config: &DeliveryConfig) -> std::io::Result<Sender> {
        let mut tls = rustls::ClientConfig::builder().with_native_roots()?.with_no_client_auth();
        tls.alpn_protocols = OFFERED.iter().map(|name| name.to_vec()).collect();
        Ok(Sender::with_tls(policy, config, tls))
    }

    /// A sender whose requests go to `network`.
    #[must_use]
    pub fn over(network: Network, policy: AddressPolicy, config: &DeliveryConfig) -> Sender {
        let nobody = rustls::RootCertStore::empty();
        let tls = rustls::ClientConfig::builder();
        let tls = tls.with_root_certificates(nobody).with_no_client_auth();
        Sender { network: Some(network), ..Sender::with_tls(policy, config, tls) }
    }

    fn with_tls(
        policy: AddressPolicy,
        config: &DeliveryConfig,
        tls: rustls::ClientConfig,
    ) -> Sender {
        let dns_cache = DnsCache::new(config);
        let connector = Connector { policy, dns_cache, tls: Arc::new(tls) };
        let response_bytes_max = config.response_bytes_max;
        let protocols = Protocols::new(response_bytes_max);
        let pool = Pool::new(config);
        let exchange = Exchange { connector, protocols, pool, response_bytes_max };
        Sender { network: None, exchange: Arc::new(exchange) }
    }

    /// Why a request to this URL would be refused, judged by its text: its host is an address that is
    /// not permitted. A name is checked when it is resolved.
    #[must_use]
    pub fn refuses(&self, url: &str) -> Option<String> {
        let url = url::Url::parse(url).ok()?;
        Some(self.exchange.connector.policy.check_host(url.host_str()?).err()?.to_string())
    }

    /// Sends a request and reads the response up to the size limit. If the connection fails quickly,
    /// the same request is sent once more.
    pub async fn send(&self, outgoing: &Outgoing) -> Sent {
        if let Some(network) = &self.network {
            let within = Duration::from_millis(outgoing.timeout_ms);
            let carried = tokio::time::timeout(within, network(outgoing.clone())).await;
            return carried.unwrap_or_else(|_| SendError::TimedOut(outgoing.timeout_ms).into());
        }
        let mut coming = None;
        let exchange = async {
            let routed = Routed::new(outgoing)?;
            let began = Instant::now();
            match self.exchange.run(&routed, outgoing, &mut coming).await {
                Err(SendError::Connect(_)) if began.elapsed() < QUICK => {}
                ended => return ended,
            }
            let second = self.exchange.run(&routed, outgoing, &mut coming).await;
            second.map_err(|error| match error {
                SendError::Connect(text) => SendError::ConnectTwice(text),
                error => error,
            })
        };
        let ended = in_time(outgoing.timeout_ms, exchange).await;
        self.sent(coming, ended)
    }

    /// Like [`Sender::send`], but over a new connection and without a second try; returns the timing, too.
    pub async fn send_timed(&self, outgoing: &Outgoing) -> (Sent, Timing) {
        let stopwatch = Stopwatch::start();
        let mut coming = None;
        let exchange = async {
            let routed = Routed::new(outgoing)?;
            self.exchange.run_timed(&routed, outgoing, &mut coming, &stopwatch).await
        };
        let ended = in_time(outgoing.timeout_ms, exchange).await;
        (self.sent(coming, ended), stopwatch.timing())
    }

    fn sent(&self, coming: Option<Coming>, ended: Result<(), SendError>) -> Sent {
        let error = match (&coming, ended) {
            (Some(coming), Err(SendError::TimedOut(timeout_ms))) => {
                Some(SendError::BodyTimedOut { status: coming.status, timeout_ms })
            }
            (_, ended) => ended.err(),
        };
        let response = coming.map(|mut coming| {
            let cut = decode(&mut coming, self.exchange.response_bytes_max);
            let body = String::from_utf8_lossy(&coming.body);
            Response {
                status: coming.status,
                headers: coming.headers,
                // A byte order mark is no part of the text.
                body: body.strip_prefix('\u{FEFF}').unwrap_or(&body).to_owned(),
                truncated: coming.truncated || cut || error.is_some(),
            }
        });
        Sent { response, error }
    }
}

/// Decodes the body of a response that was sent with a content coding, although none was asked for. A body that
/// can't be decoded stays as it is. True: only the beginning is left.
fn decode(coming: &mut Coming, bytes_max: usize) -> bool {
    let Some(codings) = coming.headers.get(CONTENT_ENCODING.as_str()) else { return false };
    let Ok(codings) = Codings::parse(codings) else { return false };
    if codings.is_identity() || coming.body.is_empty() {
        return false;
    }
    let Decoded { bytes, end } = codings.decode(&coming.body, bytes_max);
    if bytes.is_empty() && end != End::Whole {
        return false;
    }
    coming.body = bytes;
    end != End::Whole
}

/// Applies one deadline to the whole exchange.
async fn in_time(
    timeout_ms: u64,
    exchange: impl Future<Output = Result<(), SendError>>,
) -> Result<(), SendError> {
    let ended = tokio::time::timeout(Duration::from_millis(timeout_ms), exchange).await;
    ended.unwrap_or(Err(SendError::TimedOut(timeout_ms)))
}
