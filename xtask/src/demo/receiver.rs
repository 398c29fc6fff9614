//! The receiver that the demo's webhooks call.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::show::Show;
use super::verify::{Secret, verify};

/// Largest body it reads.
const BODY_BYTES_MAX: u64 = 1 << 20;
/// The first request to this path is answered with 500, so that a retry can be seen.
pub(crate) const FLAKY_PATH: &str = "/flaky";

/// A request as it arrived.
#[derive(Clone)]
pub(crate) struct Received {
    /// Counts from 1, over all paths.
    pub(crate) number: usize,
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// How it was verified, or why it was not.
    pub(crate) verdict: Result<String, String>,
    /// The status that it was answered with.
    pub(crate) answered: u16,
}

#[derive(Default)]
struct State {
    secrets: Vec<Secret>,
    received: Vec<Received>,
}

/// Listens on a thread of its own for as long as the process lives.
#[derive(Clone, Default)]
pub(crate) struct Receiver(Arc<(Mutex<State>, Condvar)>);

impl Receiver {
    pub(crate) fn start(port: u16, show: Show) -> Result<Receiver> {
        let http = tiny_http::Server::http(("127.0.0.1", port))
            .map_err(|error| anyhow!("the receiver can't listen on port {port}: {error}"))?;
        let receiver = Receiver::default();
        let own = receiver.clone();
        std::thread::spawn(move || {
            for request in http.incoming_requests() {
                own.handle(request, show);
            }
        });
        Ok(receiver)
    }

    /// Secrets to verify with; replaces those of before.
    pub(crate) fn know(&self, secrets: Vec<Secret>) {
        self.state().secrets = secrets;
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    /// Waits until one arrived at `path`, and returns it.
    pub(crate) fn wait_for(&self, path: &str, limit: Duration) -> Option<Received> {
        let end = Instant::now() + limit;
        let mut state = self.state();
        loop {
            if let Some(found) = state.received.iter().find(|r| r.path == path) {
                return Some(found.clone());
            }
            let left = end.checked_duration_since(Instant::now())?;
            state = self.0.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, mut request: tiny_http::Request, show: Show) {
        let mut body = Vec::new();
        if request.as_reader().take(BODY_BYTES_MAX).read_to_end(&mut body).is_err() {
            return;
        }
        let path = request.url().to_owned();
        let headers: Vec<_> = request
            .headers()
            .iter()
            .map(|header| (header.field.to_string(), header.value.to_string()))
            .collect();
        let mut state = self.state();
        let first = !state.received.iter().any(|before| before.path == path);
        let answered = if path == FLAKY_PATH && first { 500 } else { 200 };
        let received = Received {
            number: state.received.len() + 1,
            method: request.method().to_string(),
            path,
            verdict: verify(&headers, &body, &state.secrets),
            headers,
            body,
            answered,
        };
        show.request(&received);
        state.received.push(received);
        drop(state);
        // A sender that is gone shows as a failed attempt on its side.
        let _ = request.respond(tiny_http::Response::from_string("ok").with_status_code(answered));
        self.0.1.notify_all();
    }
}
