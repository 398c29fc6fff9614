//! A request to send, and what may become of it.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH};
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::Full;

use super::target::{PoolKey, Target};
use crate::model::{Method, TenantId};

/// A request ready to send, with nothing left to fill in.
#[derive(Clone)]
pub struct Outgoing {
    /// Its connections and look-ups are its own.
    pub tenant: TenantId,
    pub method: Method,
    pub url: String,
    /// The parsed URL, if already available.
    pub uri: Option<Uri>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Bytes>,
    pub timeout_ms: u64,
}

/// Why no complete response was received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the request can't be sent: {0}")]
    Request(String),
    #[error("no answer within {0} ms")]
    TimedOut(u64),
    #[error("the answer {status} began, but had not ended within {timeout_ms} ms")]
    BodyTimedOut { status: u16, timeout_ms: u64 },
    #[error("the head of the answer is larger than it may be")]
    HeadTooLarge,
    #[error("the receiver sent more than an answer may have")]
    AnswerTooLarge,
    /// The host has no address.
    #[error("no connection: {0}")]
    Unresolved(String),
    #[error("no connection: {0}")]
    Connect(String),
    #[error("no connection, nor at a second try at once: {0}")]
    ConnectTwice(String),
    #[error("no connection: {0}")]
    Refused(String),
    #[error("the connection broke: {0}")]
    Broke(String),
}

/// What a request and its second try have in common: where they go.
pub(super) struct Routed {
    pub(super) uri: Uri,
    pub(super) key: PoolKey,
    /// The connection carries no request after this one.
    pub(super) last: bool,
}

impl Routed {
    pub(super) fn new(outgoing: &Outgoing) -> Result<Routed, SendError> {
        let uri = outgoing.uri.clone().map_or_else(|| uri_of(&outgoing.url), Ok);
        let uri = uri.map_err(SendError::Request)?;
        let target = Target::of(&uri);
        let target = target.ok_or_else(|| SendError::Request("the URL has no host".to_owned()))?;
        // A receiver that expects no body with these may take it for the next request (RFC 9110 §9.3.1).
        let last = matches!(outgoing.method, Method::Get | Method::Delete)
            && outgoing.body.as_ref().is_some_and(|body| !body.is_empty());
        Ok(Routed { uri, key: PoolKey { tenant: outgoing.tenant.clone(), target }, last })
    }
}

/// Parses a URL, or reports why it is not one.
pub(crate) fn uri_of(url: &str) -> Result<Uri, String> {
    // `url` encodes internationalised names and special characters in the form that HTTP requires.
    let url = url::Url::parse(url).map_err(|e| format!("the URL is none: {e}"))?;
    url.as_str().parse().map_err(|e| format!("the URL is none: {e}"))
}

/// The request without its URI, which depends on the connection. Adds what every request has: that an answer
/// is wanted as it is, without a content coding, and the length of an empty body.
pub(super) fn request(outgoing: &Outgoing) -> Result<Request<Full<Bytes>>, SendError> {
    let bad = |what: String| SendError::Request(what);
    let mut request = Request::builder().method(outgoing.method.as_str());
    let is_given = |wanted: &HeaderName| {
        outgoing.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted.as_str()))
    };
    if !is_given(&ACCEPT_ENCODING) {
        request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    // The receiver may insist on it where a method gives a body a meaning (RFC 9110 §8.6).
    let is_empty = outgoing.body.as_ref().is_none_or(Bytes::is_empty);
    let has_meaning = matches!(outgoing.method, Method::Post | Method::Put | Method::Patch);
    if is_empty && has_meaning && !is_given(&CONTENT_LENGTH) {
        request = request.header(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    for (name, value) in &outgoing.headers {
        let name =
            HeaderName::try_from(name).map_err(|_| bad(format!("`{name}` is no header name")))?;
        let value = HeaderValue::try_from(value)
            .map_err(|_| bad(format!("the value of the header {name} has control characters")))?;
        request = request.header(name, value);
    }
    let body = outgoing.body.clone().unwrap_or_default();
    request.body(Full::new(body)).map_err(|e| bad(e.to_string()))
}
