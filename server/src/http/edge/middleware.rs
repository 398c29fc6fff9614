//! Middleware around every request: request id, access log, metrics, headers, and the request's id
//! in problem responses.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, RequestHead, ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, Method};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use antar_template::MASK;
use metrics::{Counter, Histogram};
use tracing::Instrument;

use super::Edge;
use super::auth;
use super::client_address::{self, Network};
use super::connection::Connection;
use super::error::{Code, Problem};
use super::holder::{Charge, Holder};
use super::unread::Unread;
use crate::app::App;
use crate::model::{TenantId, uuid_v7};
use crate::registry::Registry;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of a path that are logged; longer ones are no paths of ours.
const PATH_BYTES_MAX: usize = 256;

/// The outermost layer.
pub(crate) async fn handle(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = Instant::now();
    let Some(app) = req.app_data::<web::Data<App>>().cloned() else {
        return Err(Problem::internal("the server was built without its state").into());
    };
    let Some(connection) = req.conn_data::<Rc<Connection>>().cloned() else {
        return Err(Problem::internal("the request has no connection").into());
    };
    connection.begin_request(!matches!(req.parts().1, Payload::None));
    let id = request_id(req.headers(), &app);
    let method = known_method(req.method());
    let span = {
        let path = masked(req.path(), &app.registry);
        tracing::info_span!("request", id, method, path = shown(&path))
    };
    // Runs in a task of its own, so that a client that disconnects does not interrupt a change
    // between the database and memory, or an event between the commit and its first attempt.
    let unread = req.app_data::<web::Data<Unread>>().cloned();
    let (edge, reader) = (connection.edge.clone(), reader(&req));
    let calling = next.call(req);
    let handling = async move {
        let reading = match reader {
            Some(tenant) => Some(wait_to_read(&edge, tenant).await?),
            None => None,
        };
        // Nothing else runs between the answer and its count.
        let answered = calling.await?.map_into_boxed_body();
        drop(reading);
        Ok::<_, Error>(match unread {
            Some(unread) => unread.into_inner().hold(answered),
            None => answered,
        })
    };
    let handling = actix_web::rt::spawn(handling.instrument(span.clone()));
    let handled = handling.await;
    let failed = !matches!(&handled, Ok(Ok(answered)) if answered.status().as_u16() < 400);
    // Where the rest of a body is not read, nothing can follow it.
    let last = failed && !connection.is_body_read();
    connection.end_request(last);
    let mut answered = match handled {
        Ok(Ok(answered)) => finish(answered, &id),
        Ok(Err(error)) => return Err(error),
        Err(panicked) => return Err(span.in_scope(|| Problem::internal(panicked)).into()),
    };
    if last {
        answered.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let (status, took) = (answered.status().as_u16(), began.elapsed());
    span.in_scope(|| log(&connection, answered.request().headers(), status, took.as_secs_f64()));
    let route = answered.request().match_pattern().unwrap_or_else(|| "other".to_owned());
    count(method, route, status, took.as_secs_f64());
    Ok(answered)
}

/// The tenant whose key a call that reads has.
fn reader(req: &ServiceRequest) -> Option<TenantId> {
    let reads = req.method() == Method::GET && req.path().starts_with("/v1/");
    reads.then(|| auth::owner_of_key(req.request())).flatten()
}

/// Waits until a tenant may read: many slow reads of one leave connections to the others.
async fn wait_to_read(edge: &Edge, tenant: TenantId) -> Result<Charge, Problem> {
    const WAIT_MAX: Duration = Duration::from_secs(10);
    let deadline = tokio::time::Instant::now() + WAIT_MAX;
    let owners = [Holder::Tenant(tenant)].into();
    Ok(Charge::wait(&edge.reads, &owners, 1, deadline).await?)
}

/// Answers a request whose body is not to be sent.
pub(crate) fn refuse(
    connection: &Connection,
    app: &App,
    head: &RequestHead,
    problem: &Problem,
) -> actix_web::HttpResponse {
    connection.begin_request(true);
    connection.end_request(true);
    let id = request_id(&head.headers, app);
    let method = known_method(&head.method);
    let mut answer = problem.answer(Some(&id));
    answer.head_mut().set_connection_type(ConnectionType::Close);
    own_headers(answer.headers_mut(), &id);
    let status = answer.status().as_u16();
    let path = masked(head.uri.path(), &app.registry);
    let span = tracing::info_span!("request", id, method, path = shown(&path));
    span.in_scope(|| log(connection, &head.headers, status, 0.0));
    count(method, "other".to_owned(), status, 0.0);
    answer
}

/// Logs an answer. Successful requests are logged only with `antar::access=debug`, since a log line for each
/// event would cost more than the event itself. Of refused ones, only the first are.
fn log(connection: &Connection, headers: &HeaderMap, status: u16, took_s: f64) {
    let took_ms = took_s * 1e3;
    if status < 400 {
        tracing::debug!(target: "antar::access", status, took_ms, "answered");
        return;
    }
    let edge = &connection.edge;
    let client =
        client_address::client(connection.peer, headers, &edge.config.server.trusted_proxies);
    if edge.refusals.is_logged(Network::of(client), status, tokio::time::Instant::now()) {
        let address = client.map_or_else(|| "unknown".to_owned(), |client| client.to_string());
        tracing::info!(target: "antar::access", status, took_ms, address, "answered");
    }
}

/// As much of a path as is logged.
fn shown(path: &str) -> &str {
    &path[..path.floor_char_boundary(PATH_BYTES_MAX)]
}

/// Method, route and status.
type Kind = (&'static str, String, u16);

thread_local! {
    /// Request counter and duration histogram of each kind, cached to avoid looking them up by
    /// name.
    static FIGURES: RefCell<HashMap<Kind, (Counter, Histogram)>> = RefCell::default();
}

fn count(method: &'static str, route: String, status: u16, seconds: f64) {
    FIGURES.with_borrow_mut(|figures| {
        let figures = figures.entry((method, route, status));
        let (requests, times) = figures.or_insert_with_key(|(method, route, status)| {
            let (method, route) = (*method, route.clone());
            let requests = metrics::counter!(
                "antar_http_requests_total",
                "method" => method, "route" => route.clone(), "status" => status.to_string()
            );
            let seconds = "antar_http_request_seconds";
            (requests, metrics::histogram!(seconds, "method" => method, "route" => route))
        });
        requests.increment(1);
        times.record(seconds);
    });
}

/// Adds the request's id to problems and to the headers.
fn finish(mut answered: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let problem =
        answered.response().error().and_then(|error| error.as_error::<Problem>().cloned());
    let problem = problem.or_else(|| {
        let refused = answered.status() == 405 && answered.response().error().is_none();
        refused.then(|| {
            Problem::new(
                Code::MethodNotAllowed,
                format!("it does not take {}", answered.request().method()),
            )
        })
    });
    if let Some(problem) = problem {
        let allow = answered.headers().get(actix_web::http::header::ALLOW).cloned();
        let (req, _) = answered.into_parts();
        let mut answer = problem.answer(Some(id));
        if let Some(allow) = allow {
            answer.headers_mut().insert(actix_web::http::header::ALLOW, allow);
        }
        answered = ServiceResponse::new(req, answer);
    }
    own_headers(answered.headers_mut(), id);
    answered
}

fn own_headers(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(CACHE_CONTROL) {
        // Not cacheable: responses describe the present, and some contain a secret that is shown
        // only once.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// The client's request id if it is short and consists of plain characters, else a new one.
fn request_id(headers: &HeaderMap, app: &App) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |id: &&str| {
        (1..=128).contains(&id.len())
            && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c))
    };
    given.filter(plain).map_or_else(|| uuid_v7(app.clock.now()).to_string(), ToOwned::to_owned)
}

/// Label of a method for metrics. Clients can send any method, so unknown ones share one label.
fn known_method(method: &Method) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("OTHER")
}

/// The path for the log, with the secret of an incoming URL masked.
fn masked<'a>(path: &'a str, registry: &Registry) -> Cow<'a, str> {
    match secret_in(path, |path| registry.match_incoming(path)) {
        Some(secret) => path.replacen(&format!("/{secret}"), &format!("/{MASK}"), 1).into(),
        None => path.into(),
    }
}

fn secret_in(path: &str, of_profiles: impl Fn(&str) -> Option<(String, String)>) -> Option<String> {
    if path.starts_with("/v1/") {
        return None;
    }
    if let Some(rest) = path.strip_prefix("/in/") {
        let secret = rest.split('/').nth(1)?;
        return (!secret.is_empty()).then(|| secret.to_owned());
    }
    of_profiles(path).map(|(_, secret)| secret).filter(|secret| !secret.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_are_cut_between_characters() {
        assert_eq!(shown("/short"), "/short");
        assert_eq!(shown(&"/é".repeat(10_000)), format!("{}/", "/é".repeat(85)));
        assert_eq!(shown(&"x".repeat(60_000)).len(), PATH_BYTES_MAX);
    }

    #[test]
    fn secrets_of_incoming_urls_are_found() {
        let profiles =
            |path: &str| (path == "/hooks/a/b").then(|| ("a".to_owned(), "b".to_owned()));
        assert_eq!(secret_in("/in/source/s3cret", profiles).as_deref(), Some("s3cret"));
        assert_eq!(secret_in("/in/source/s3cret/more", profiles).as_deref(), Some("s3cret"));
        assert_eq!(secret_in("/hooks/a/b", profiles).as_deref(), Some("b"));
        for other in ["/v1/tenants", "/in/source", "/in/", "/healthz"] {
            assert_eq!(secret_in(other, profiles), None, "{other}");
        }
    }
}
