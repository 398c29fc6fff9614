//! A real HTTP server that receives deliveries.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::reply::{Kind, Reply};
use crate::request::Request;
use crate::{DEADLINE, eventually};

type Plan = Box<dyn Fn(&Request, usize) -> Reply + Send + Sync>;
type Doors = Box<dyn Fn(usize) -> Door + Send + Sync>;

/// What happens to a connection before its first request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// Requests are read and answered.
    Open,
    /// The connection is accepted and closed at once.
    Slammed,
    /// The connection is accepted, but never read from or written to.
    Deaf,
}

/// Records every request and answers by its plan. Dropping it fails the test if requests arrived
/// that the test has not looked at.
pub struct Receiver {
    /// `http://127.0.0.1:PORT`
    base: String,
    shared: Arc<Shared>,
    /// Number of requests that the test has looked at.
    looked_at: Mutex<usize>,
    ignore_rest: bool,
}

struct Shared {
    requests: Mutex<Vec<Request>>,
    count: watch::Sender<usize>,
    plan: Mutex<Plan>,
    doors: Mutex<Doors>,
    /// Number of connections so far.
    connections: AtomicUsize,
    /// For each answer without end, the bytes sent until the other side closed the connection.
    broken_off: Mutex<Vec<u64>>,
}

impl Receiver {
    /// Starts a receiver that answers 200 to everything until it is changed.
    pub async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            count: watch::Sender::new(0),
            plan: Mutex::new(Box::new(|_, _| Reply::ok())),
            doors: Mutex::new(Box::new(|_| Door::Open)),
            connections: AtomicUsize::new(0),
            broken_off: Mutex::default(),
        });
        // Keeps answering until the test's runtime ends, since a server that stops later still
        // needs answers.
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Receiver { base, shared, looked_at: Mutex::new(0), ignore_rest: false }
    }

    /// `http://127.0.0.1:PORT/path`
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Answers by `plan` from now on. It gets the request and the number of requests to the same
    /// path, including this one.
    pub fn reply_with(&self, plan: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) {
        *self.shared.plan.lock().unwrap() = Box::new(plan);
    }

    /// Answers everything with this from now on.
    pub fn reply(&self, reply: Reply) {
        self.reply_with(move |_, _| reply.clone());
    }

    /// Treats connections by `doors` from now on. It gets the number of connections so far,
    /// including this one.
    pub fn doors(&self, doors: impl Fn(usize) -> Door + Send + Sync + 'static) {
        *self.shared.doors.lock().unwrap() = Box::new(doors);
    }

    /// Number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until the other side breaks off an answer without end, and returns how many bytes of
    /// its body had been sent by then.
    pub async fn wait_broken_off(&self) -> u64 {
        eventually("an answer is broken off", async || {
            self.shared.broken_off.lock().unwrap().first().copied()
        })
        .await
    }

    /// Waits until `n` requests have arrived in total, and returns all of them.
    pub async fn wait(&self, n: usize) -> Vec<Request> {
        let mut count = self.shared.count.subscribe();
        let waited = tokio::time::timeout(DEADLINE, count.wait_for(|count| *count >= n)).await;
        assert!(
            waited.is_ok(),
            "{} of {n} requests arrived: {:#?}",
            self.requests().len(),
            self.requests()
        );
        self.requests()
    }

    /// Waits until `n` requests have arrived at `path`, and returns them.
    pub async fn wait_at(&self, path: &str, n: usize) -> Vec<Request> {
        let what = format!("{n} requests at {path}, came: {:?}", self.paths());
        eventually(&what, async || Some(self.at(path)).filter(|found| found.len() >= n)).await
    }

    /// Requests that have arrived at `path` so far.
    #[must_use]
    pub fn at(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path() == path).collect()
    }

    /// All requests that have arrived so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        let requests = self.shared.requests.lock().unwrap().clone();
        *self.looked_at.lock().unwrap() = requests.len();
        requests
    }

    /// Removes and returns all requests since the last call, for tests that receive continuously.
    #[must_use]
    pub fn take(&self) -> Vec<Request> {
        let taken = std::mem::take(&mut *self.shared.requests.lock().unwrap());
        *self.looked_at.lock().unwrap() = 0;
        taken
    }

    /// Requests that the test does not look at are no failure.
    #[must_use]
    pub fn ignore_rest(mut self) -> Receiver {
        self.ignore_rest = true;
        self
    }

    fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.target).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.ignore_rest || std::thread::panicking() {
            return;
        }
        let looked_at = *self.looked_at.lock().unwrap();
        let rest = self.paths().split_off(looked_at);
        assert!(rest.is_empty(), "requests came that nobody looked at: {rest:?}");
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let nth = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
        match (shared.doors.lock().unwrap())(nth) {
            Door::Open => drop(tokio::spawn(serve(stream, Arc::clone(&shared)))),
            Door::Slammed => drop(stream),
            Door::Deaf => drop(tokio::spawn(async move {
                let _open = stream;
                std::future::pending::<()>().await;
            })),
        }
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(request) = Request::read(&mut stream, &mut buffer).await {
        let reply = shared.record(request);
        tokio::time::sleep(reply.delay).await;
        let endless = match reply.kind {
            Kind::Hang => std::future::pending().await,
            Kind::Close => return,
            Kind::EndlessHead => {
                let head = b"HTTP/1.1 200 Reply\r\n".to_vec();
                Some(Endless {
                    head,
                    chunk: b"x-more: and more and more\r\n",
                    ..Endless::default()
                })
            }
            Kind::Trickle(pause) => {
                Some(Endless { head: reply.bytes(), chunk: b".", pause, ..Endless::default() })
            }
            Kind::Flood(bytes) => Some(Endless {
                head: reply.head(),
                chunk: &[b'.'; 64 << 10],
                bytes,
                ..Endless::default()
            }),
            Kind::Repeat(first, again) => {
                Some(Endless { head: first.to_vec(), chunk: again, ..Endless::default() })
            }
            Kind::Answer | Kind::Stall | Kind::Reset => None,
        };
        if let Some(endless) = endless {
            let sent = endless.send(&mut stream).await;
            return shared.broken_off.lock().unwrap().push(sent);
        }
        if stream.write_all(&reply.bytes()).await.is_err() {
            return;
        }
        if reply.kind == Kind::Reset {
            // With zero linger, closing the connection resets it.
            return stream.set_zero_linger().unwrap();
        }
    }
}

/// An answer that goes on until the other side closes the connection.
struct Endless {
    head: Vec<u8>,
    chunk: &'static [u8],
    pause: Duration,
    bytes: u64,
}

impl Default for Endless {
    fn default() -> Endless {
        Endless { head: Vec::new(), chunk: b"", pause: Duration::ZERO, bytes: u64::MAX }
    }
}

impl Endless {
    /// Returns how many bytes were sent after the head.
    async fn send(self, stream: &mut TcpStream) -> u64 {
        let mut sent = 0;
        let mut write = stream.write_all(&self.head).await;
        while write.is_ok() && sent < self.bytes {
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
            write = stream.write_all(self.chunk).await;
            sent += self.chunk.len() as u64;
        }
        sent
    }
}

impl Shared {
    fn record(&self, request: Request) -> Reply {
        let mut requests = self.requests.lock().unwrap();
        let earlier = requests.iter().filter(|earlier| earlier.path() == request.path()).count();
        let reply = (self.plan.lock().unwrap())(&request, earlier + 1);
        requests.push(request);
        self.count.send_replace(requests.len());
        reply
    }
}
