//! The byte stream of a connection, with a bound on what a receiver may send for each request, and a handle
//! that closes it at once.
//!
//! hyper bounds a head, but not how many heads come before the final one, nor what frames and padding a body
//! is wrapped in. This bound knows nothing of HTTP and holds for all of it.

use std::io::{Error, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection to a receiver.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether HTTP/2 was negotiated.
    pub(super) fn is_http2(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

/// How much may still be received, and whether the connection is to end.
#[derive(Default)]
struct Meter {
    left: AtomicUsize,
    spent: AtomicBool,
    closed: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// Closes the connection when it is dropped, whatever it is waiting for: a receiver that stops reading would
/// otherwise keep the socket and the request.
pub(super) struct Handle(Arc<Meter>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.reader.wake();
        self.0.writer.wake();
    }
}

impl Handle {
    /// Permits another `bytes` to be received, and `bytes_max` in all.
    pub(super) fn permit(&self, bytes: usize, bytes_max: usize) {
        let more = |left: usize| Some(left.saturating_add(bytes).min(bytes_max));
        // The closure always returns a value, so this can't fail.
        let _ = self.0.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Whether the connection broke because more was received than permitted.
    pub(super) fn spent(&self) -> bool {
        self.0.spent.load(Ordering::Relaxed)
    }
}

/// A stream that counts what it receives.
pub(super) struct Metered {
    stream: Stream,
    meter: Arc<Meter>,
}

impl Metered {
    /// Permits `bytes` to be received at first.
    pub(super) fn new(stream: Stream, bytes: usize) -> (Metered, Handle) {
        let meter = Arc::new(Meter { left: AtomicUsize::new(bytes), ..Meter::default() });
        (Metered { stream, meter: meter.clone() }, Handle(meter))
    }
}

impl Meter {
    fn check(&self) -> std::io::Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::other("the connection is not needed any more"));
        }
        Ok(())
    }

    fn spend(&self, bytes: usize) -> std::io::Result<()> {
        let less = |left: usize| left.checked_sub(bytes);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            self.spent.store(true, Ordering::Relaxed);
            return Err(Error::other("more was received than an answer may have"));
        }
        Ok(())
    }

    /// Pending until `waker` is called, or an error if the connection was closed meanwhile.
    fn wait<T>(&self, waker: &AtomicWaker, context: &Context<'_>) -> Poll<std::io::Result<T>> {
        waker.register(context.waker());
        match self.check() {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let Metered { stream, meter } = self.get_mut();
        meter.check()?;
        let before = buffer.filled().len();
        let read = match stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if read.is_pending() {
            return meter.wait(&meter.reader, context);
        }
        ready!(read)?;
        Poll::Ready(meter.spend(buffer.filled().len() - before))
    }
}

/// The four ways to write wait in the same way.
macro_rules! written {
    ($self:ident, $context:ident, $stream:ident => $call:expr) => {{
        let Metered { stream, meter } = $self.get_mut();
        meter.check()?;
        let done = match stream {
            Stream::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Stream::Tls($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        };
        if done.is_pending() {
            return meter.wait(&meter.writer, $context);
        }
        done
    }};
}

impl AsyncWrite for Metered {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        written!(self, context, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        written!(self, context, stream => stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        written!(self, context, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        written!(self, context, stream => stream.poll_shutdown(context))
    }
}
