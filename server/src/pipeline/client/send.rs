//! Sends one HTTP request: address checked, one deadline for the whole exchange, no redirects. HTTP/2 if
//! the receiver negotiates it over TLS, else HTTP/1.1.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector};
use hyper_util::client::legacy::connect::Connect;
use hyper_util::client::legacy::{Builder, Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::address::{AddressPolicy, Refused};
use super::connect::Guarded;
use super::dns_cache::DnsCache;
use super::timing::{Stopwatch, TimedConnector, Timing};
use crate::config::DeliveryConfig;
use crate::model::{Fields, Method, Response};

/// Protocols offered to the receiver (ALPN), the preferred one first.
const OFFERED: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A connection that fails sooner than this is retried once, immediately.
const QUICK: Duration = Duration::from_secs(1);

/// A request ready to send, with nothing left to fill in.
#[derive(Clone)]
pub struct Outgoing {
    pub method: Method,
    pub url: String,
    /// The parsed URL, if already available.
    pub uri: Option<Uri>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Bytes>,
    pub timeout_ms: u64,
}

/// Why no complete response was received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the request can't be sent: {0}")]
    Request(String),
    #[error("no answer within {0} ms")]
    TimedOut(u64),
    #[error("the answer {status} began, but had not ended within {timeout_ms} ms")]
    BodyTimedOut { status: u16, timeout_ms: u64 },
    #[error("the head of the answer is larger than it may be")]
    HeadTooLarge,
    #[error("no connection: {0}")]
    Connect(String),
    #[error("no connection, nor at a second try at once: {0}")]
    ConnectTwice(String),
    #[error("no connection: {0}")]
    Refused(String),
    #[error("the connection broke: {0}")]
    Broke(String),
}

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
    client: Client<HttpsConnector<Guarded>, Full<Bytes>>,
    policy: Arc<AddressPolicy>,
    dns_cache: Arc<DnsCache>,
    tls: Arc<rustls::ClientConfig>,
    response_bytes_max: usize,
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
        let (tls, policy) = (Arc::new(tls), Arc::new(policy));
        let dns_cache =
            DnsCache::new(Duration::from_millis(config.dns_cache_ms), config.dns_cache_max);
        let dns_cache = Arc::new(dns_cache);
        let guarded =
            Guarded { policy: policy.clone(), dns_cache: dns_cache.clone(), stopwatch: None };
        let response_bytes_max = config.response_bytes_max;
        let client = client(response_bytes_max)
            .pool_max_idle_per_host(config.idle_per_host_max)
            .pool_idle_timeout(Duration::from_secs(60))
            .build(HttpsConnector::from((guarded, tls.clone())));
        Sender { network: None, client, policy, dns_cache, tls, response_bytes_max }
    }

    /// Why a request to this URL would be refused, judged by its text: its host is an address that is
    /// not permitted. A name is checked when it is resolved.
    #[must_use]
    pub fn refuses(&self, url: &str) -> Option<String> {
        let url = url::Url::parse(url).ok()?;
        Some(self.policy.check_host(url.host_str()?).err()?.to_string())
    }

    /// Sends a request and reads the response up to the size limit. If the connection fails quickly,
    /// the same request is sent once more.
    pub async fn send(&self, outgoing: &Outgoing) -> Sent {
        if let Some(network) = &self.network {
            let within = Duration::from_millis(outgoing.timeout_ms);
            let carried = tokio::time::timeout(within, network(outgoing.clone())).await;
            return carried.unwrap_or_else(|_| SendError::TimedOut(outgoing.timeout_ms).into());
        }
        let first = match request(outgoing) {
            Ok(request) => request,
            Err(error) => return error.into(),
        };
        let mut coming = None;
        let exchange = async {
            let began = Instant::now();
            match self.exchange(&self.client, first, None, &mut coming).await {
                Err(SendError::Connect(_)) if began.elapsed() < QUICK => {}
                ended => return ended,
            }
            let second = self.exchange(&self.client, request(outgoing)?, None, &mut coming).await;
            second.map_err(|error| match error {
                SendError::Connect(text) => SendError::ConnectTwice(text),
                error => error,
            })
        };
        let ended = in_time(outgoing.timeout_ms, exchange).await;
        sent(coming, ended)
    }

    /// Like [`Sender::send`], but over a new connection and without a second try; returns the timing, too.
    pub async fn send_timed(&self, outgoing: &Outgoing) -> (Sent, Timing) {
        let request = match request(outgoing) {
            Ok(request) => request,
            Err(error) => return (error.into(), Timing::default()),
        };
        let stopwatch = Arc::new(Stopwatch::start());
        let (policy, dns_cache) = (self.policy.clone(), self.dns_cache.clone());
        let guarded = Guarded { policy, dns_cache, stopwatch: Some(stopwatch.clone()) };
        let connector = HttpsConnector::from((guarded, self.tls.clone()));
        let client = client(self.response_bytes_max)
            .pool_max_idle_per_host(0)
            .build(TimedConnector::new(connector, stopwatch.clone()));
        let mut coming = None;
        let exchange = self.exchange(&client, request, Some(&stopwatch), &mut coming);
        let ended = in_time(outgoing.timeout_ms, exchange).await;
        (sent(coming, ended), stopwatch.timing())
    }

    async fn exchange<C: Connect + Clone + Send + Sync + 'static>(
        &self,
        client: &Client<C, Full<Bytes>>,
        request: Request<Full<Bytes>>,
        stopwatch: Option<&Stopwatch>,
        coming: &mut Option<Coming>,
    ) -> Result<(), SendError> {
        let answer = client.request(request).await.map_err(|error| no_answer(&error))?;
        if let Some(stopwatch) = stopwatch {
            stopwatch.head_arrived();
        }
        let coming = coming.insert(Coming {
            status: answer.status().as_u16(),
            headers: fields(answer.headers(), self.response_bytes_max),
            body: Vec::new(),
            truncated: false,
        });
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| SendError::Broke(chain(&error)))?;
            let Some(data) = frame.data_ref() else { continue };
            let room = self.response_bytes_max - coming.body.len();
            coming.body.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                // The rest is not read; the connection is dropped with the body.
                coming.truncated = true;
                break;
            }
        }
        Ok(())
    }
}

/// A client builder that buffers little of a response in memory.
fn client(response_bytes_max: usize) -> Builder {
    const STREAM_WINDOW: u32 = 64 << 10;
    const CONNECTION_WINDOW: u32 = 1 << 20;
    // hyper accepts no smaller buffer.
    let buffer_max = response_bytes_max.max(8 << 10);
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .http1_max_buf_size(buffer_max)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(u32::try_from(buffer_max).unwrap_or(u32::MAX));
    builder
}

/// A response as far as it has been received.
struct Coming {
    status: u16,
    headers: Fields,
    body: Vec<u8>,
    truncated: bool,
}

fn sent(coming: Option<Coming>, ended: Result<(), SendError>) -> Sent {
    let error = match (&coming, ended) {
        (Some(coming), Err(SendError::TimedOut(timeout_ms))) => {
            Some(SendError::BodyTimedOut { status: coming.status, timeout_ms })
        }
        (_, ended) => ended.err(),
    };
    let response = coming.map(|coming| Response {
        status: coming.status,
        headers: coming.headers,
        body: String::from_utf8_lossy(&coming.body).into_owned(),
        truncated: coming.truncated || error.is_some(),
    });
    Sent { response, error }
}

/// Applies one deadline to the whole exchange.
async fn in_time(
    timeout_ms: u64,
    exchange: impl Future<Output = Result<(), SendError>>,
) -> Result<(), SendError> {
    let ended = tokio::time::timeout(Duration::from_millis(timeout_ms), exchange).await;
    ended.unwrap_or(Err(SendError::TimedOut(timeout_ms)))
}

/// Parses a URL, or reports why it is not one.
pub(crate) fn uri_of(url: &str) -> Result<Uri, String> {
    // `url` encodes internationalised names and special characters in the form that HTTP requires.
    let url = url::Url::parse(url).map_err(|e| format!("the URL is none: {e}"))?;
    url.as_str().parse().map_err(|e| format!("the URL is none: {e}"))
}

fn request(outgoing: &Outgoing) -> Result<Request<Full<Bytes>>, SendError> {
    let bad = |what: String| SendError::Request(what);
    let uri = outgoing.uri.clone().map_or_else(|| uri_of(&outgoing.url), Ok).map_err(bad)?;
    let mut request = Request::builder().method(outgoing.method.as_str()).uri(uri);
    for (name, value) in &outgoing.headers {
        let name =
            HeaderName::try_from(name).map_err(|_| bad(format!("`{name}` is no header name")))?;
        let value = HeaderValue::try_from(value)
            .map_err(|_| bad(format!("the value of the header {name} has control characters")))?;
        request = request.header(name, value);
    }
    let body = outgoing.body.clone().unwrap_or_default();
    request.body(Full::new(body)).map_err(|e| bad(e.to_string()))
}

/// The headers that fit into `bytes_max`; those of one name are joined into one field (RFC 9110 §5.3).
fn fields(headers: &http::HeaderMap, bytes_max: usize) -> Fields {
    let mut room = bytes_max;
    let fields = headers.keys().filter_map(|name| {
        let mut whole: Option<String> = None;
        for value in headers.get_all(name) {
            let Some(left) = room.checked_sub(name.as_str().len() + value.len()) else { continue };
            room = left;
            let value = String::from_utf8_lossy(value.as_bytes());
            whole = Some(match whole {
                Some(before) => before + ", " + &value,
                None => value.into_owned(),
            });
        }
        Some((name.as_str().to_owned(), whole?))
    });
    fields.collect()
}

/// Classifies why no response head was received.
fn no_answer(error: &Error) -> SendError {
    // The client's own message says only that the client failed; its causes say why.
    let cause = std::error::Error::source(error);
    let text = cause.map_or_else(|| chain(error), chain);
    let causes = || std::iter::successors(cause, |error| error.source());
    let inner = |error: &(dyn std::error::Error + 'static)| {
        let io = error.downcast_ref::<std::io::Error>()?;
        io.get_ref()?.downcast_ref::<Refused>().map(|_| ())
    };
    if causes().any(|error| inner(error).is_some() || error.is::<Refused>()) {
        return SendError::Refused(text);
    }
    if error.is_connect() {
        return SendError::Connect(text);
    }
    // Both protocols report it only in the text of the error.
    if ["message head is too large", "header list"].iter().any(|words| text.contains(words)) {
        return SendError::HeadTooLarge;
    }
    SendError::Broke(text)
}

/// An error with its causes; hyper's own message alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
