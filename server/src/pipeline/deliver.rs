//! One HTTP request: checked address, one deadline over everything, no redirects.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::address::AddressPolicy;
use super::watch::{Timing, Watch, Watched};
use crate::model::{Method, Response};

/// A request as it goes out: nothing left to fill in.
#[derive(Clone)]
pub struct Outgoing {
    pub method: Method,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Bytes>,
    pub timeout_ms: u64,
}

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the request can't be sent: {0}")]
    Request(String),
    #[error("no answer within {0} ms")]
    TimedOut(u64),
    #[error("no connection: {0}")]
    Connect(String),
    #[error("the connection broke: {0}")]
    Broke(String),
}

/// The client of all deliveries.
#[derive(Clone)]
pub struct Sender {
    client: Client<HttpsConnector<Guarded>, Full<Bytes>>,
    policy: Arc<AddressPolicy>,
    tls: Arc<rustls::ClientConfig>,
    response_bytes_max: usize,
}

impl Sender {
    /// Fails where the machine has no root certificates.
    pub fn new(
        policy: AddressPolicy,
        idle_per_host_max: usize,
        response_bytes_max: usize,
    ) -> std::io::Result<Sender> {
        let tls = rustls::ClientConfig::builder().with_native_roots()?.with_no_client_auth();
        let (tls, policy) = (Arc::new(tls), Arc::new(policy));
        let guarded = Guarded { policy: policy.clone(), watch: None };
        let connector = HttpsConnector::from((guarded, tls.clone()));
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(idle_per_host_max)
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        Ok(Sender { client, policy, tls, response_bytes_max })
    }

    /// Why nothing would be sent to this URL, as far as its text tells: its host is an address
    /// that is not permitted. A name is looked at when it is resolved.
    #[must_use]
    pub fn refuses(&self, url: &str) -> Option<String> {
        let url = url::Url::parse(url).ok()?;
        Some(self.policy.check_host(url.host_str()?).err()?.to_string())
    }

    /// Sends and reads the answer up to its limit.
    pub async fn send(&self, outgoing: &Outgoing) -> Result<Response, SendError> {
        let request = request(outgoing)?;
        in_time(outgoing.timeout_ms, self.exchange(&self.client, request, None)).await
    }

    /// As [`Sender::send`], over a connection of its own, and says what took how long.
    pub async fn send_watched(&self, outgoing: &Outgoing) -> (Result<Response, SendError>, Timing) {
        let request = match request(outgoing) {
            Ok(request) => request,
            Err(error) => return (Err(error), Timing::default()),
        };
        let watch = Arc::new(Watch::start());
        let guarded = Guarded { policy: self.policy.clone(), watch: Some(watch.clone()) };
        let connector = HttpsConnector::from((guarded, self.tls.clone()));
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(Watched::new(connector, watch.clone()));
        let exchange = self.exchange(&client, request, Some(&watch));
        let result = in_time(outgoing.timeout_ms, exchange).await;
        (result, watch.timing())
    }

    async fn exchange<C: Connect + Clone + Send + Sync + 'static>(
        &self,
        client: &Client<C, Full<Bytes>>,
        request: Request<Full<Bytes>>,
        watch: Option<&Watch>,
    ) -> Result<Response, SendError> {
        let answer = client.request(request).await.map_err(|error| {
            // The client's own words say only that it was the client.
            let cause = std::error::Error::source(&error);
            let text = cause.map_or_else(|| chain(&error), chain);
            if error.is_connect() { SendError::Connect(text) } else { SendError::Broke(text) }
        })?;
        if let Some(watch) = watch {
            watch.head_arrived();
        }
        let status = answer.status().as_u16();
        let headers = header_map(answer.headers(), self.response_bytes_max);
        let mut body = answer.into_body();
        let (mut text, mut truncated) = (Vec::new(), false);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| SendError::Broke(chain(&error)))?;
            let Some(data) = frame.data_ref() else { continue };
            let room = self.response_bytes_max - text.len();
            text.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                // The rest is not read; the connection is dropped with the body.
                truncated = true;
                break;
            }
        }
        let body = String::from_utf8_lossy(&text).into_owned();
        Ok(Response { status, headers, body, truncated })
    }
}

/// One deadline over the whole exchange.
async fn in_time(
    timeout_ms: u64,
    exchange: impl Future<Output = Result<Response, SendError>>,
) -> Result<Response, SendError> {
    let ended = tokio::time::timeout(Duration::from_millis(timeout_ms), exchange).await;
    ended.unwrap_or(Err(SendError::TimedOut(timeout_ms)))
}

fn request(outgoing: &Outgoing) -> Result<Request<Full<Bytes>>, SendError> {
    let bad = |what: String| SendError::Request(what);
    // `url` writes internationalised names and odd characters in the form that HTTP wants.
    let url = url::Url::parse(&outgoing.url).map_err(|e| bad(format!("the URL is none: {e}")))?;
    let uri: Uri = url.as_str().parse().map_err(|e| bad(format!("the URL is none: {e}")))?;
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

/// The headers that fit into `bytes_max`.
fn header_map(
    headers: &http::HeaderMap,
    bytes_max: usize,
) -> serde_json::Map<String, serde_json::Value> {
    let mut map = serde_json::Map::new();
    let mut room = bytes_max;
    for (name, value) in headers {
        let Some(left) = room.checked_sub(name.as_str().len() + value.len()) else { continue };
        room = left;
        let value = String::from_utf8_lossy(value.as_bytes());
        match map.get_mut(name.as_str()) {
            Some(serde_json::Value::String(known)) => {
                known.push_str(", ");
                known.push_str(&value);
            }
            _ => {
                map.insert(name.as_str().to_owned(), value.into());
            }
        }
    }
    map
}

/// An error with its causes; hyper's own text alone says little.
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

/// Resolves, checks every address, and connects to the first that takes it.
#[derive(Clone)]
pub struct Guarded {
    policy: Arc<AddressPolicy>,
    watch: Option<Arc<Watch>>,
}

impl tower_service::Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<TokioIo<TcpStream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Guarded { policy, watch } = self.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let https = uri.scheme_str() == Some("https");
            let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
            let addresses: Vec<_> = match host.parse::<IpAddr>() {
                Ok(address) => vec![(address, port).into()],
                Err(_) => {
                    let found = tokio::net::lookup_host((host.as_str(), port)).await;
                    let unknown =
                        |e| std::io::Error::other(format!("{host} can't be resolved: {e}"));
                    let found = found.map_err(unknown)?.collect();
                    watch.iter().for_each(|watch| watch.name_resolved());
                    found
                }
            };
            let mut last = std::io::Error::other(format!("{host} has no address"));
            for address in addresses {
                if let Err(refused) = policy.check(address.ip()) {
                    last = std::io::Error::new(std::io::ErrorKind::PermissionDenied, refused);
                    continue;
                }
                match TcpStream::connect(address).await {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        watch.iter().for_each(|watch| watch.connected());
                        return Ok(TokioIo::new(stream));
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
    }
}
