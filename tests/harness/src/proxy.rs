//! A TCP proxy between a server and its database, which a test can cut or hold.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How connections are treated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Passed,
    /// Accepted, but nothing is forwarded: each side sees the other as silent. Held connections
    /// break when the hold ends.
    Held,
    /// Open connections break, and new ones are closed at once.
    Cut,
}

/// Forwards everything until it is cut or held.
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
}

impl Proxy {
    /// Starts a proxy to `target`, `HOST:PORT`.
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
