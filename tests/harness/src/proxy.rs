//! A TCP proxy between a server and its database, to be cut, or to be held.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of what it gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Passed,
    /// Taken, and kept: to both sides the other one is silent. What was held breaks in the end.
    Held,
    /// What is open breaks, and nothing new gets through.
    Cut,
}

/// Passes everything on, until it is told not to.
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
}

impl Proxy {
    /// To `target`, `HOST:PORT`.
    pub(crate) async fn start(target: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State::Passed);
        let stands = state.subscribe();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, target.clone(), stands.clone()));
            }
        });
        Proxy { address, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    pub fn hold(&self) {
        self.state.send_replace(State::Held);
    }

    pub fn mend(&self) {
        self.state.send_replace(State::Passed);
    }
}

async fn pass(mut from: TcpStream, target: String, mut stands: watch::Receiver<State>) {
    if *stands.borrow() == State::Passed {
        let Ok(mut to) = TcpStream::connect(&target).await else { return };
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut from, &mut to) => return,
            _ = stands.wait_for(|state| *state != State::Passed) => {}
        }
        // Both ends stay open while it is held.
        let _ = stands.wait_for(|state| *state != State::Held).await;
        return;
    }
    let _ = stands.wait_for(|state| *state != State::Held).await;
}
