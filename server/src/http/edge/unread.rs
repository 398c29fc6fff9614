//! Answers that their callers have not taken yet. Large ones are counted until they are sent: those of one
//! tenant and all together hold a bounded number of bytes. They are handed out in small portions, and a caller
//! that takes its time loses its connection.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::rt::net::TcpStream;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use parking_lot::Mutex;

use super::auth;
use super::error::{Code, Problem};
use crate::config::Config;
use crate::model::TenantId;

/// Answers up to this size are not counted, and larger ones are handed out in portions of it.
const PORTION_BYTES: usize = 64 << 10;
/// A caller that takes a large answer slower than this is cut off.
const TAKEN_BYTES_PER_S_MIN: u64 = 16 << 10;

/// All counted answers of this node.
pub(crate) struct Unread {
    per_tenant_max: usize,
    all_max: usize,
    timeout: Duration,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: usize,
    /// Bytes by tenant, without those that hold nothing; none: the operator.
    tenants: HashMap<Option<TenantId>, usize>,
}

impl Unread {
    pub(crate) fn new(config: &Config) -> Unread {
        Unread {
            per_tenant_max: config.tenant.answer_bytes_max,
            all_max: config.server.answer_bytes_max,
            timeout: Duration::from_millis(config.server.write_timeout_ms),
            held: Mutex::default(),
        }
    }

    /// Counts a large answer until it is sent. Beyond the bounds an answer to a call that only reads becomes a
    /// problem; any other is sent all the same, because what it tells has happened.
    pub(crate) fn hold(
        self: &Arc<Self>,
        answered: ServiceResponse<BoxBody>,
    ) -> ServiceResponse<BoxBody> {
        let bytes = match answered.response().body().size() {
            BodySize::Sized(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
            BodySize::None | BodySize::Stream => 0,
        };
        if bytes <= PORTION_BYTES {
            return answered;
        }
        let req = answered.request();
        let may_refuse = req.method() == Method::GET || tries_out(req.path());
        match self.claim(owner(req), bytes, may_refuse) {
            Ok(claim) => {
                let timeout = self.timeout;
                answered.map_body(|_, body| match body.try_into_bytes() {
                    Ok(bytes) => BoxBody::new(Portions::new(bytes, claim, timeout)),
                    Err(body) => body,
                })
            }
            Err(problem) => {
                let (req, _) = answered.into_parts();
                ServiceResponse::new(req, HttpResponse::from_error(problem))
            }
        }
    }

    /// One answer is always possible, however large it is.
    fn claim(
        self: &Arc<Self>,
        owner: Option<TenantId>,
        bytes: usize,
        may_refuse: bool,
    ) -> Result<Claim, Problem> {
        let mut held = self.held.lock();
        let own = held.tenants.get(&owner).copied().unwrap_or_default();
        for (held, max, setting) in [
            (own, self.per_tenant_max, "tenant.answer_bytes_max"),
            (held.all, self.all_max, "server.answer_bytes_max"),
        ] {
            if may_refuse && held > 0 && held.saturating_add(bytes) > max {
                let detail = format!(
                    "{held} bytes of answers wait to be read, and this one of {bytes} would make it more \
                     than {max} ({setting}); read those first, or ask for smaller pages with `limit`"
                );
                return Err(Problem::new(Code::AnswersUnread, detail));
            }
        }
        held.all = held.all.saturating_add(bytes);
        held.tenants.insert(owner.clone(), own.saturating_add(bytes));
        Ok(Claim { unread: self.clone(), owner, bytes })
    }
}

/// Whether a call changes nothing, though its method is POST: its answer may be refused and asked for again.
fn tries_out(path: &str) -> bool {
    ["/preview", "/test"].iter().any(|end| path.ends_with(end))
}

/// Whose answer it is: the tenant's in the path or, without one there, the key's.
fn owner(req: &HttpRequest) -> Option<TenantId> {
    let in_path = req.match_info().get("tenant");
    let in_path = in_path.and_then(|id| super::path::decoded(id).parse().ok());
    in_path.or_else(|| auth::owner_of_key(req))
}

/// Counts an answer until it is dropped.
struct Claim {
    unread: Arc<Unread>,
    owner: Option<TenantId>,
    bytes: usize,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.unread.held.lock();
        held.all = held.all.saturating_sub(self.bytes);
        if let Some(own) = held.tenants.get_mut(&self.owner) {
            *own = own.saturating_sub(self.bytes);
            if *own == 0 {
                held.tenants.remove(&self.owner);
            }
        }
    }
}

/// A body, portion by portion, while its caller takes it fast enough.
struct Portions {
    rest: Bytes,
    allowed: Duration,
    /// Set when the first portion is taken.
    until: Option<Instant>,
    _claim: Claim,
}

impl Portions {
    fn new(rest: Bytes, claim: Claim, timeout: Duration) -> Portions {
        let bytes = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        let allowed = timeout + Duration::from_secs(bytes / TAKEN_BYTES_PER_S_MIN);
        Portions { rest, allowed, until: None, _claim: claim }
    }
}

impl MessageBody for Portions {
    type Error = std::io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(u64::try_from(self.rest.len()).unwrap_or(u64::MAX))
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, std::io::Error>>> {
        let (now, allowed) = (Instant::now(), self.allowed);
        if now > *self.until.get_or_insert(now + allowed) {
            let slow =
                std::io::Error::new(std::io::ErrorKind::TimedOut, "the caller reads too slowly");
            return Poll::Ready(Some(Err(slow)));
        }
        let length = self.rest.len().min(PORTION_BYTES);
        let portion = self.rest.split_to(length);
        Poll::Ready((length > 0).then_some(Ok(portion)))
    }
}

/// Has the system close a connection whose caller takes nothing of what waits for it.
pub(super) fn close_when_stalled(connection: &TcpStream, timeout: Duration) {
    #[cfg(target_os = "linux")]
    {
        let set = socket2::SockRef::from(connection).set_tcp_user_timeout(Some(timeout));
        if let Err(error) = set {
            tracing::debug!(%error, "a connection has no write time-out");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (connection, timeout);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread() -> Arc<Unread> {
        let mut config = Config::default();
        (config.tenant.answer_bytes_max, config.server.answer_bytes_max) = (100, 150);
        Arc::new(Unread::new(&config))
    }

    #[test]
    fn a_tenant_and_all_together_are_bounded() {
        let unread = unread();
        let (a, b) = ("a".parse::<TenantId>().ok(), "b".parse::<TenantId>().ok());
        let claim = |owner: &Option<TenantId>, bytes| {
            unread.claim(owner.clone(), bytes, true).map_err(|problem| problem.detail)
        };
        let first = claim(&a, 1_000);
        assert!(first.is_ok(), "one is always possible");
        assert!(claim(&a, 1).err().unwrap().contains("tenant.answer_bytes_max"));
        assert!(claim(&b, 1).err().unwrap().contains("server.answer_bytes_max"));
        drop(first);
        let both = (claim(&a, 100), claim(&b, 50));
        assert!(both.0.is_ok() && both.1.is_ok() && claim(&b, 1).is_err());
        assert!(unread.claim(b, 1_000, false).is_ok(), "what has happened is told");
        drop(both);
        assert_eq!(unread.held.lock().all, 0);
        assert!(unread.held.lock().tenants.is_empty());
    }

    #[test]
    fn portions_are_the_whole_and_then_the_end() {
        let unread = unread();
        let bytes = Bytes::from(vec![7; PORTION_BYTES + 1]);
        let claim = unread.claim(None, bytes.len(), true).unwrap();
        let mut body = Portions::new(bytes, claim, Duration::from_secs(60));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut taken = Vec::new();
        while let Poll::Ready(Some(portion)) = Pin::new(&mut body).poll_next(&mut cx) {
            taken.push(portion.unwrap().len());
        }
        assert_eq!(taken, [PORTION_BYTES, 1]);
    }

    #[test]
    fn who_is_too_slow_gets_no_more() {
        let unread = unread();
        let claim = unread.claim(None, 9, true).unwrap();
        let mut body = Portions::new(Bytes::from_static(b"too late!"), claim, Duration::ZERO);
        body.until = Some(Instant::now() - Duration::from_secs(1));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(Some(Err(error))) = Pin::new(&mut body).poll_next(&mut cx) else {
            panic!("a portion")
        };
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }
}
