//! A real HTTP server that deliveries go to.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::reply::{Kind, Reply};
use crate::request::Request;
use crate::{DEADLINE, eventually};

type Plan = Box<dyn Fn(&Request, usize) -> Reply + Send + Sync>;

/// Records every request and answers by its plan. Dropping it fails the test when requests came
/// that nobody looked at.
pub struct Receiver {
    /// `http://127.0.0.1:PORT`
    base: String,
    shared: Arc<Shared>,
    /// How many requests the test has looked at.
    looked_at: Mutex<usize>,
    ignore_rest: bool,
}

struct Shared {
    requests: Mutex<Vec<Request>>,
    count: watch::Sender<usize>,
    plan: Mutex<Plan>,
}

impl Receiver {
    /// Answers 200 to everything until told otherwise.
    pub async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            count: watch::Sender::new(0),
            plan: Mutex::new(Box::new(|_, _| Reply::ok())),
        });
        // It answers on until the test's runtime ends: a server that stops after it needs answers.
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Receiver { base, shared, looked_at: Mutex::new(0), ignore_rest: false }
    }

    /// `http://127.0.0.1:PORT/path`
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Answers by `plan` from now on: it gets the request and how many came to the same path, this
    /// one included.
    pub fn reply_with(&self, plan: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) {
        *self.shared.plan.lock().unwrap() = Box::new(plan);
    }

    /// Answers everything with this from now on.
    pub fn reply(&self, reply: Reply) {
        self.reply_with(move |_, _| reply.clone());
    }

    /// Waits until `n` requests have come in all, and returns all that came.
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

    /// Waits until `n` requests have come to `path`, and returns those.
    pub async fn wait_at(&self, path: &str, n: usize) -> Vec<Request> {
        let what = format!("{n} requests at {path}, came: {:?}", self.paths());
        eventually(&what, async || Some(self.at(path)).filter(|found| found.len() >= n)).await
    }

    /// What has come to `path` so far.
    #[must_use]
    pub fn at(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path() == path).collect()
    }

    /// All that has come so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        let requests = self.shared.requests.lock().unwrap().clone();
        *self.looked_at.lock().unwrap() = requests.len();
        requests
    }

    /// Takes out all that has come since the last time: for tests that receive without end.
    #[must_use]
    pub fn take(&self) -> Vec<Request> {
        let taken = std::mem::take(&mut *self.shared.requests.lock().unwrap());
        *self.looked_at.lock().unwrap() = 0;
        taken
    }

    /// What comes from now on, and is not looked at, is no failure.
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
        tokio::spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(request) = Request::read(&mut stream, &mut buffer).await {
        let reply = shared.record(request);
        tokio::time::sleep(reply.delay).await;
        match reply.kind {
            Kind::Answer | Kind::Stall => {}
            Kind::EndlessHead => return send_headers(&mut stream).await,
            Kind::Hang => std::future::pending().await,
            Kind::Close => return,
        }
        if stream.write_all(&reply.bytes()).await.is_err() {
            return;
        }
    }
}

/// Until the other side has had enough.
async fn send_headers(stream: &mut TcpStream) {
    let mut sent = stream.write_all(b"HTTP/1.1 200 Reply\r\n").await;
    while sent.is_ok() {
        sent = stream.write_all(b"x-more: and more and more and more\r\n").await;
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
