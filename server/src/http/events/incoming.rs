//! Calls from outside to `/in/{source}/{secret}` or to the path of a profile. They need no API key,
//! since the URL contains a secret. The secret is checked before the body is read.

use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use actix_web::{FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError, web};

use super::refused::{Refused, keep, kept_if_refused};
use crate::app::{App, Posted};
use crate::http::edge::answer::Answer;
use crate::http::edge::auth::Account;
use crate::http::edge::body::Body;
use crate::http::edge::client_address::{self, Network};
use crate::http::edge::connection::Connection;
use crate::http::edge::error::{Code, Problem};
use crate::http::edge::hops::hops;
use crate::http::edge::path::decoded;
use crate::model::{Hops, Invalid};
use crate::pipeline::accept::call::Call;
use crate::pipeline::accept::call_answer::RenderedAnswer;
use crate::pipeline::accept::intake::Draft;
use crate::pipeline::accept::source::{Meaning, Source};
use crate::pipeline::accept::verify::Caller;
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::{self};

/// Call a source
///
/// The call becomes one or more events, as the source says, and is answered once these are durable, as the source
/// or its profile says. A handshake is answered and makes no event. Unknown, wrong and disabled are the same 404.
#[utoipa::path(
    method(get, post, put, patch, delete), path = "/in/{source}/{secret}", tag = "incoming",
    responses((status = 200, description = "Taken; status and body are those of the source's profile"))
)]
pub(crate) async fn own_path(_: Called, req: HttpRequest, body: Body) -> Answer {
    call(&req, &body).await
}

/// Requests that match no route: the paths of profiles, and 404.
pub(crate) async fn other_path(_: Called, req: HttpRequest, body: Body) -> Answer {
    call(&req, &body).await
}

pub(super) fn nothing_here() -> Problem {
    Problem::new(Code::NotFound, "nothing answers at this path; `/docs` lists all calls")
}

/// A call to a source whose secret is in the URL.
pub(crate) struct Called {
    app: web::Data<App>,
    tenant: Arc<Tenant>,
    source: Arc<Source>,
    secret: String,
}

impl FromRequest for Called {
    type Error = Problem;
    type Future = Ready<Result<Called, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let called = called(req);
        if let (Ok(called), Some(connection)) = (&called, req.conn_data::<Rc<Connection>>()) {
            let trusted = &called.app.config.server.trusted_proxies;
            let client = client_address::client(connection.peer, req.headers(), trusted);
            Account::Source(called.tenant.id.clone(), Network::of(client)).leave(req, payload);
        }
        ready(called)
    }
}

fn called(req: &HttpRequest) -> Result<Called, Problem> {
    let app = req.app_data::<web::Data<App>>().cloned();
    let app = app.ok_or_else(|| Problem::internal("the server was built without its state"))?;
    let (source, secret) = find(&app, req.path()).ok_or_else(nothing_here)?;
    let tenant = app.registry.tenant(&source.tenant).ok_or_else(nothing_here)?;
    Ok(Called { app, tenant, source, secret })
}

/// The enabled source behind a path with its secret, and the secret.
pub(super) fn find(app: &App, path: &str) -> Option<(Arc<Source>, String)> {
    let (source, secret) = match path.strip_prefix("/in/") {
        Some(rest) => {
            let (source, rest) = rest.split_once('/')?;
            (source.to_owned(), rest.split('/').next()?.to_owned())
        }
        None => app.registry.match_incoming(path)?,
    };
    let secret = decoded(&secret).into_owned();
    let source = app.registry.source(decoded(&source).parse().ok()?)?;
    (source.secret.is(&secret) && source.spec.enabled).then_some((source, secret))
}

async fn call(req: &HttpRequest, body: &Body) -> Answer {
    // The body may have taken its time: the secret may be another one by now, and the tenant gone.
    let Called { app, tenant, source, secret } = called(req)?;
    let config = &app.config.server;
    let called_path = match req.query_string() {
        "" => req.path().to_owned(),
        query => format!("{}?{query}", req.path()),
    };
    let call = Arc::new(Call {
        method: req.method().as_str().to_owned(),
        path: without_secret(req.path(), &secret),
        query: req.query_string().to_owned(),
        url: format!("{}{called_path}", config.base_url()),
        headers: headers(req),
        body: body.bytes.clone(),
    });
    let peer = req.conn_data::<Rc<Connection>>().and_then(|connection| connection.peer);
    let by_trusted_proxy =
        peer.is_some_and(|peer| client_address::is_trusted(peer, &config.trusted_proxies));
    let caller = Caller { by_trusted_proxy, is_vouched_for: false };
    let taken = take_in(&app, &tenant, &source, &call, caller, hops(req)).await;
    let refused = Refused { tenant: &tenant.id, source: Some(&source), call: &call };
    if let Ok(Taken { left_out: Some(problem), .. }) = &taken {
        keep(&app, &refused, problem);
    }
    let answer = kept_if_refused(&app, &refused, taken.map(|taken| taken.answer));
    answer.or_else(|problem| with_methods(problem, &source))
}

/// A call that was taken in.
pub(super) struct Taken {
    pub(super) answer: HttpResponse,
    pub(super) is_handshake: bool,
    /// Why a part of it became no event.
    pub(super) left_out: Option<Problem>,
}

/// Makes events of a call, or answers its handshake.
pub(super) async fn take_in(
    app: &App,
    tenant: &Arc<Tenant>,
    source: &Arc<Source>,
    call: &Arc<Call>,
    caller: Caller,
    hops: Hops,
) -> Result<Taken, Problem> {
    let (drafts, answer) = match app.pipeline.called(tenant, source, call, caller).await?? {
        Meaning::Handshake(answer) => {
            return Ok(Taken { answer: sent(answer), is_handshake: true, left_out: None });
        }
        Meaning::Events { drafts, answer } => (drafts, answer),
    };
    let drafts = drafts.into_iter().map(|draft| Ok(Draft { hops, ..draft? }));
    let posted = app.post_events(tenant, drafts.collect(), None).await?;
    let Posted::New(answers) = posted else {
        return Err(Problem::internal("a call has no idempotency key"));
    };
    let count = answers.len();
    let refused = answers.into_iter().filter_map(|answer| match answer {
        pipeline::Answer::Refused(invalid) => Some(invalid),
        pipeline::Answer::Accepted { .. } => None,
    });
    let mut refused: Vec<Invalid> = refused.collect();
    if count > 0 && refused.len() == count {
        return Err(refused.swap_remove(0).into());
    }
    let left_out = refused.first().cloned().map(|first| {
        let detail = format!("{} of {count} elements became no event", refused.len());
        let errors = refused.into_iter().flat_map(|invalid| invalid.errors).collect();
        Problem { detail, errors, ..Problem::from(first) }
    });
    let answer = answer.map_or_else(|| taken(source), sent);
    Ok(Taken { answer, is_handshake: false, left_out })
}

/// The answer to a method that the source does not take lists those that it takes (RFC 9110 §15.5.6).
fn with_methods(problem: Problem, source: &Source) -> Answer {
    if problem.code != Code::MethodNotAllowed {
        return Err(problem);
    }
    let mut answer = problem.error_response();
    if let Ok(allow) = HeaderValue::try_from(source.methods().join(", ")) {
        answer.headers_mut().insert(ALLOW, allow);
    }
    Ok(answer)
}

/// An answer of the source's own. A browser that shows it runs nothing of it: people open the API's documentation
/// at the same place.
fn sent(answer: RenderedAnswer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or_default();
    let mut response = HttpResponseBuilder::new(status);
    response.insert_header((CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"));
    for (name, value) in answer.headers {
        response.insert_header((name, value));
    }
    if answer.body.is_empty() || has_no_body(status) {
        return response.finish();
    }
    response.insert_header((CONTENT_TYPE, answer.content_type)).body(answer.body)
}

/// The path as it was called, without the segment that is the secret, however it is encoded.
fn without_secret(path: &str, secret: &str) -> String {
    let mut is_left = true;
    let rest = path.split('/').filter(|segment| {
        let is_secret = is_left && decoded(segment) == secret;
        is_left &= !is_secret;
        !is_secret
    });
    rest.collect::<Vec<_>>().join("/")
}

/// Names in lower case; repeated headers are joined with commas (RFC 9110 §5.3).
pub(super) fn headers(req: &HttpRequest) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::with_capacity(req.headers().len());
    for (name, value) in req.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        match headers.iter_mut().find(|(known, _)| known == name.as_str()) {
            Some((_, known)) => {
                known.push_str(", ");
                known.push_str(&value);
            }
            None => headers.push((name.as_str().to_owned(), value.into_owned())),
        }
    }
    headers
}

/// Whether an answer ends with its head (RFC 9110 §15): what follows would be taken for the next one.
fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The success response that the profile defines.
fn taken(source: &Source) -> HttpResponse {
    let incoming = source.profile.spec.incoming.as_ref();
    let (status, body) =
        incoming.map_or((200, r#"{"success":true}"#), |incoming| (incoming.status, &incoming.body));
    let mut answer = HttpResponseBuilder::new(StatusCode::from_u16(status).unwrap_or_default());
    if body.is_empty() || has_no_body(StatusCode::from_u16(status).unwrap_or_default()) {
        return answer.finish();
    }
    let json = body.parse::<antar_json::Document>().is_ok();
    let content_type = if json { "application/json" } else { "text/plain; charset=utf-8" };
    answer.insert_header((CONTENT_TYPE, content_type)).body(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_no_part_of_the_call() {
        assert_eq!(without_secret("/in/source/s3cret", "s3cret"), "/in/source");
        assert_eq!(without_secret("/in/source/s3cret/more", "s3cret"), "/in/source/more");
        assert_eq!(without_secret("/in/source/%733cret/s3cret", "s3cret"), "/in/source/s3cret");
    }
}
