//! Stopwatch for one HTTP exchange: measures how long each part takes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::Uri;
use parking_lot::Mutex;
use serde::Serialize;
use tower_service::Service;

/// The parts of an exchange in microseconds. Null is what did not happen: no name to resolve, no
/// TLS, or the exchange did not get that far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Timing {
    /// Resolving the name.
    pub dns_us: Option<u64>,
    /// From the address to the connection.
    pub connect_us: Option<u64>,
    /// From the connection to the end of the TLS handshake.
    pub tls_us: Option<u64>,
    /// From the connection (or the handshake) to the head of the answer.
    pub first_byte_us: Option<u64>,
    /// All of it, with the answer's body.
    pub total_us: u64,
}

/// Times the parts of one exchange: each ends where the next begins.
pub struct Stopwatch {
    began: Instant,
    seen: Mutex<Seen>,
}

struct Seen {
    last: Instant,
    timing: Timing,
}

impl Stopwatch {
    #[must_use]
    pub fn start() -> Stopwatch {
        let began = Instant::now();
        Stopwatch { began, seen: Mutex::new(Seen { last: began, timing: Timing::default() }) }
    }

    fn lap(&self, part: fn(&mut Timing) -> &mut Option<u64>) {
        let mut seen = self.seen.lock();
        let now = Instant::now();
        let took_us = micros(now - seen.last);
        *part(&mut seen.timing) = Some(took_us);
        seen.last = now;
    }

    pub fn name_resolved(&self) {
        self.lap(|timing| &mut timing.dns_us);
    }

    pub fn connected(&self) {
        self.lap(|timing| &mut timing.connect_us);
    }

    pub fn head_arrived(&self) {
        self.lap(|timing| &mut timing.first_byte_us);
    }

    #[must_use]
    pub fn timing(&self) -> Timing {
        Timing { total_us: micros(self.began.elapsed()), ..self.seen.lock().timing }
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A connector that records the end of the TLS handshake, if there is one.
#[derive(Clone)]
pub struct TimedConnector<C> {
    inner: C,
    stopwatch: Arc<Stopwatch>,
}

impl<C> TimedConnector<C> {
    pub fn new(inner: C, stopwatch: Arc<Stopwatch>) -> TimedConnector<C> {
        TimedConnector { inner, stopwatch }
    }
}

impl<C> Service<Uri> for TimedConnector<C>
where
    C: Service<Uri>,
    C::Response: 'static,
    C::Error: 'static,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, C::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let stopwatch = self.stopwatch.clone();
        let tls = uri.scheme_str() == Some("https");
        let connecting = self.inner.call(uri);
        Box::pin(async move {
            let connected = connecting.await;
            if tls && connected.is_ok() {
                stopwatch.lap(|timing| &mut timing.tls_us);
            }
            connected
        })
    }
}
