//! The receiver that the demo's webhooks call.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::show::Show;
use super::verify::{Secret, verify};
use super::wire::{Connection, Request};

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
    /// How it was verified, or why not.
    pub(crate) verdict: Result<String, String>,
    /// Status of the response.
    pub(crate) answered: u16,
}

#[derive(Default)]
struct State {
    secrets: Vec<Secret>,
    received: Vec<Received>,
}

/// Accepts connections, with a thread for each, until the process ends.
#[derive(Clone, Default)]
pub(crate) struct Receiver(Arc<(Mutex<State>, Condvar)>);

impl Receiver {
    pub(crate) fn start(port: u16, show: Show) -> Result<Receiver> {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .with_context(|| format!("the receiver can't listen on port {port}"))?;
        let receiver = Receiver::default();
        let own = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                // If the sender disconnects, its attempt fails on its side.
                std::thread::spawn(move || own.serve(stream, show));
            }
        });
        Ok(receiver)
    }

    /// Replaces the secrets to verify with.
    pub(crate) fn know(&self, secrets: Vec<Secret>) {
        self.state().secrets = secrets;
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    /// Calls `find` with all requests received so far, again for each new one, until it returns
    /// something or `limit` has passed.
    pub(crate) fn wait_until<T>(
        &self,
        limit: Duration,
        find: impl Fn(&[Received]) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + limit;
        let mut state = self.state();
        loop {
            if let Some(found) = find(&state.received) {
                return Some(found);
            }
            let left = end.checked_duration_since(Instant::now())?;
            state = self.0.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream, show: Show) -> Result<()> {
        let mut connection = Connection::new(stream)?;
        while let Some(request) = connection.next()? {
            let status = self.record(request, show);
            connection.answer(status)?;
        }
        Ok(())
    }

    /// Records and shows a request, and returns the status of the response.
    fn record(&self, request: Request, show: Show) -> u16 {
        let Request { method, path, headers, body } = request;
        let mut state = self.state();
        let first = !state.received.iter().any(|before| before.path == path);
        let answered = if path == FLAKY_PATH && first { 500 } else { 200 };
        let verdict = verify(&headers, &body, &state.secrets);
        let number = state.received.len() + 1;
        let received = Received { number, method, path, headers, body, verdict, answered };
        show.request(&received);
        state.received.push(received);
        drop(state);
        self.0.1.notify_all();
        answered
    }
}
