//! One HTTP connection to a receiver: HTTP/1.1, which carries one request after another, or HTTP/2, which
//! many requests share.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::metered::{Handle, Metered, Stream};
use super::target::Target;

pub(super) type Body = Full<Bytes>;

/// Bytes that a body may take on the wire for each byte of it: chunks of one byte take six.
const FRAMING: usize = 8;

/// Answers under way at once that an HTTP/2 connection has room for.
const SHARED_MAX: usize = 128;

/// How connections are made.
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    /// Bytes that a receiver may send for one request.
    answer_bytes_max: usize,
}

pub(super) enum Connection {
    Http1(Http1),
    Http2(Arc<Http2>),
}

pub(super) struct Http1 {
    sender: http1::SendRequest<Body>,
    handle: Handle,
    answer_bytes_max: usize,
}

pub(super) struct Http2 {
    sender: http2::SendRequest<Body>,
    handle: Handle,
    answer_bytes_max: usize,
}

impl Protocols {
    /// Buffers little of an answer in memory.
    pub(super) fn new(response_bytes_max: usize) -> Protocols {
        const STREAM_WINDOW: u32 = 64 << 10;
        const CONNECTION_WINDOW: u32 = 1 << 20;
        // hyper accepts no smaller buffer.
        let buffer_max = response_bytes_max.max(8 << 10);
        let mut http1 = http1::Builder::new();
        http1.max_buf_size(buffer_max);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(buffer_max).unwrap_or(u32::MAX));
        // The final head, those before it and the trailers, and the body in its frames.
        let answer_bytes_max = buffer_max.saturating_mul(3 + FRAMING);
        Protocols { http1, http2, answer_bytes_max }
    }

    /// Speaks HTTP over a new stream.
    pub(super) async fn open(&self, stream: Stream) -> hyper::Result<Connection> {
        let answer_bytes_max = self.answer_bytes_max;
        let is_http2 = stream.is_http2();
        // Over HTTP/2, settings come before the first answer.
        let (stream, handle) = Metered::new(stream, answer_bytes_max);
        let io = TokioIo::new(stream);
        if is_http2 {
            let (sender, connection) = self.http2.handshake(io).await?;
            tokio::spawn(connection);
            Ok(Connection::Http2(Arc::new(Http2 { sender, handle, answer_bytes_max })))
        } else {
            let (sender, connection) = self.http1.handshake(io).await?;
            tokio::spawn(connection);
            Ok(Connection::Http1(Http1 { sender, handle, answer_bytes_max }))
        }
    }
}

impl Connection {
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Connection::Http1(http1) => http1.sender.is_closed(),
            Connection::Http2(http2) => http2.sender.is_closed(),
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Connection::Http2(_))
    }

    /// The same connection for another request at the same time; none: it carries one at a time.
    pub(super) fn share(&self) -> Option<Connection> {
        match self {
            Connection::Http1(_) => None,
            Connection::Http2(http2) => Some(Connection::Http2(http2.clone())),
        }
    }

    pub(super) fn is_same(&self, other: &Connection) -> bool {
        match (self, other) {
            (Connection::Http2(one), Connection::Http2(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Whether the next request may be sent now; none: that depends on the receiver.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Connection::Http1(http1) => http1.sender.is_ready(),
            Connection::Http2(http2) => http2.sender.is_ready(),
        }
    }

    /// Waits until the next request may be sent. False: there is none to come.
    pub(super) async fn ready(&mut self) -> bool {
        match self {
            Connection::Http1(http1) => http1.sender.ready().await.is_ok(),
            Connection::Http2(http2) => http2.sender.is_ready(),
        }
    }

    /// Whether the receiver has sent more than an answer may have.
    pub(super) fn is_spent(&self) -> bool {
        match self {
            Connection::Http1(http1) => http1.handle.spent(),
            Connection::Http2(http2) => http2.handle.spent(),
        }
    }

    /// Sends a request to `uri` and waits for the head of the answer. `last`: nothing comes after it.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Body>,
        uri: &Uri,
        target: &Target,
        last: bool,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match self {
            Connection::Http1(http1) => {
                *request.uri_mut() = path_of(uri);
                let headers = request.headers_mut();
                if let Ok(host) = HeaderValue::try_from(target.host_header()) {
                    headers.insert(HOST, host);
                }
                if last {
                    headers.insert(CONNECTION, HeaderValue::from_static("close"));
                }
                let max = http1.answer_bytes_max;
                http1.handle.permit(max, max);
                http1.sender.try_send_request(request).await
            }
            Connection::Http2(http2) => {
                *request.uri_mut() = target.absolute(uri);
                let headers = request.headers_mut();
                headers.remove(HOST);
                headers.remove(CONNECTION);
                let max = http2.answer_bytes_max;
                http2.handle.permit(max, max.saturating_mul(SHARED_MAX));
                http2.sender.clone().try_send_request(request).await
            }
        }
    }
}

/// The URI as HTTP/1.1 sends it: path and query.
fn path_of(uri: &Uri) -> Uri {
    uri.path_and_query().map_or_else(|| Uri::from_static("/"), |path| Uri::from(path.clone()))
}
