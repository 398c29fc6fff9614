//! Connections of callers: how many there are, how long a head may take, how long an answer may wait for
//! its reader, and how much one connection may make the server hold before anything is known about its
//! caller.
//!
//! The HTTP library limits the first head of a connection only, and reads on while a request runs. So the
//! socket is wrapped: the wrapper counts what is read, and ends what takes too long.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use actix_web::ResponseError;
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Edge;
use super::client_address::{Network, is_trusted};
use super::error::{PROBLEM_JSON, Problem};
use super::holder::{Charge, Holder};
use super::unread::close_when_stalled;
use crate::budget::Exceeded;

/// What may be read ahead of the handlers: more than the longest head that the HTTP library takes.
const AHEAD_BYTES_MAX: usize = 192 << 10;
/// How long the rest of a body that is not read is awaited, so that its sender gets to read the answer.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// Heads up to this size are covered by the limits of connections. More counts as bytes in flight.
const HEAD_BYTES_FREE: usize = 16 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first head is awaited or arriving. The HTTP library limits its time, and answers 408.
    FirstHead,
    /// Another head is.
    Head,
    /// A handler runs.
    Request,
    /// The last request is answered and the rest of its body is thrown away.
    Rest,
}

/// What is known about a connection; its requests share it. While one of them runs, the connection counts.
pub(crate) struct Connection {
    pub(crate) edge: Arc<Edge>,
    pub(crate) peer: Option<IpAddr>,
    _place: Charge,
    owners: Arc<[Holder]>,
    phase: Cell<Phase>,
    /// When the current head, or rest of a body, has to be complete.
    deadline: Cell<Option<Instant>>,
    /// Bytes that were read since the last progress.
    ahead: Cell<usize>,
    /// Holds `ahead`, where it is much.
    charge: RefCell<Option<Charge>>,
    /// Waits until `ahead` is less.
    reader: RefCell<Option<Waker>>,
    body_read: Cell<bool>,
    /// Nothing more is read.
    closed: Cell<bool>,
}

impl Connection {
    /// A handler begins.
    pub(crate) fn begin_request(&self, has_body: bool) {
        self.phase.set(Phase::Request);
        self.deadline.set(None);
        self.body_read.set(!has_body);
        self.progress();
    }

    /// The body of the request has been read to its end.
    pub(crate) fn body_read(&self) {
        self.body_read.set(true);
    }

    pub(crate) fn is_body_read(&self) -> bool {
        self.body_read.get()
    }

    /// A request is answered. `last`: none follows, as the answer says.
    pub(crate) fn end_request(&self, last: bool) {
        self.progress();
        if last {
            self.phase.set(Phase::Rest);
            self.deadline.set(Some(Instant::now() + LINGER));
            return;
        }
        self.phase.set(Phase::Head);
        // The HTTP library reads what is left of the body before the next head.
        self.deadline.set((!self.body_read.get()).then(|| self.head_deadline()));
    }

    /// What was read so far has been taken over by a handler.
    pub(crate) fn progress(&self) {
        self.ahead.set(0);
        self.charge.take();
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn head_deadline(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.edge.config.server.head_timeout_ms)
    }

    /// Counts bytes that were read. If there is no room for so long a head, no more of it is read: either it is
    /// complete by now, or its time runs out.
    fn received(&self, bytes: usize) {
        let ahead = self.ahead.get() + bytes;
        self.ahead.set(ahead);
        if self.phase.get() == Phase::Request {
            return;
        }
        if self.phase.get() == Phase::Head && self.deadline.get().is_none() {
            self.deadline.set(Some(self.head_deadline()));
        }
        if ahead > HEAD_BYTES_FREE && self.hold(ahead).is_err() {
            self.ahead.set(AHEAD_BYTES_MAX);
        }
    }

    fn hold(&self, bytes: usize) -> Result<(), Exceeded> {
        let mut charge = self.charge.borrow_mut();
        match charge.as_mut() {
            Some(charge) => charge.raise(bytes)?,
            None => *charge = Some(Charge::take(&self.edge.memory, &self.owners, bytes)?),
        }
        Ok(())
    }
}

/// The socket of a connection.
pub(crate) struct Socket {
    io: TcpStream,
    pub(crate) connection: Rc<Connection>,
    alarm: Alarm,
    /// Since when the peer takes nothing of an answer.
    stalled: Option<Instant>,
}

impl Socket {
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.io.peer_addr().ok()
    }
}

/// Takes a connection, or answers and closes it if there are too many.
pub(crate) fn accept(edge: &Arc<Edge>, io: TcpStream) -> io::Result<Socket> {
    let peer = io.peer_addr().ok().map(|peer| peer.ip().to_canonical());
    let trusted = &edge.config.server.trusted_proxies;
    let owners: Arc<[Holder]> = match peer {
        Some(peer) if is_trusted(peer, trusted) => Arc::default(),
        _ => [Holder::Address(Network::of(peer))].into(),
    };
    let place = match Charge::take(&edge.connections, &owners, 1) {
        Ok(place) => place,
        Err(exceeded) => {
            metrics::counter!("antar_connections_refused_total", "limit" => exceeded.setting())
                .increment(1);
            return Err(refuse(io, exceeded));
        }
    };
    close_when_stalled(&io, Duration::from_millis(edge.config.server.write_timeout_ms));
    let connection = Rc::new(Connection {
        edge: edge.clone(),
        peer,
        _place: place,
        owners,
        phase: Cell::new(Phase::FirstHead),
        deadline: Cell::default(),
        ahead: Cell::default(),
        charge: RefCell::default(),
        reader: RefCell::default(),
        body_read: Cell::new(true),
        closed: Cell::default(),
    });
    Ok(Socket { io, connection, alarm: Alarm::default(), stalled: None })
}

/// Answers a connection without reading from it.
fn refuse(io: TcpStream, exceeded: Exceeded) -> io::Error {
    let problem = Problem::from(exceeded);
    let (status, body) = (problem.status_code(), problem.body(None));
    let body = serde_json::to_string(&body).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {PROBLEM_JSON}\r\nretry-after: 1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len(),
    );
    if let Ok(mut io) = io.into_std() {
        // The peer may be gone; then nobody misses the answer.
        let _ = io.write_all(answer.as_bytes());
        let _ = io.shutdown(std::net::Shutdown::Write);
        // Closing with unread bytes would reset the connection, and the answer might be lost.
        let _ = io.read(&mut [0; 4 << 10]);
    }
    io::Error::other(problem)
}

/// Reads and throws away, until the peer closes the connection.
fn discard(
    io: &mut TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    /// Reads in one turn, so that others get theirs.
    const TURN: usize = 16;
    let filled = buffer.filled().len();
    for _ in 0..TURN {
        ready!(Pin::new(&mut *io).poll_read(cx, buffer))?;
        if buffer.filled().len() == filled {
            return Poll::Ready(Ok(()));
        }
        buffer.set_filled(filled);
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let connection = &this.connection;
        if connection.closed.get() {
            return Poll::Ready(Ok(()));
        }
        let filled = buffer.filled().len();
        let read = if connection.phase.get() == Phase::Rest {
            discard(&mut this.io, cx, buffer)
        } else if connection.ahead.get() >= AHEAD_BYTES_MAX {
            *connection.reader.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        } else {
            Pin::new(&mut this.io).poll_read(cx, buffer)
        };
        let end = match read {
            Poll::Ready(Ok(())) => connection.phase.get() == Phase::Rest,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => match connection.deadline.get() {
                Some(deadline) if this.alarm.rings(cx, deadline) => true,
                _ => return Poll::Pending,
            },
        };
        if end {
            connection.closed.set(true);
        } else {
            connection.received(buffer.filled().len() - filled);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Poll::Ready(written) = Pin::new(&mut this.io).poll_write(cx, bytes) {
            this.stalled = None;
            return Poll::Ready(written);
        }
        let patience = Duration::from_millis(this.connection.edge.config.server.write_timeout_ms);
        let deadline = *this.stalled.get_or_insert_with(Instant::now) + patience;
        if this.alarm.rings(cx, deadline) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}

/// One timer for all deadlines of a connection. It may ring early: most deadlines are met, and setting the
/// timer anew for each would cost more.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether `deadline` has passed; if not, the task is woken then or before.
    fn rings(&mut self, cx: &mut Context<'_>, deadline: Instant) -> bool {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        if deadline <= Instant::now() {
            return true;
        }
        sleep.as_mut().reset(deadline);
        sleep.as_mut().poll(cx).is_ready()
    }
}
