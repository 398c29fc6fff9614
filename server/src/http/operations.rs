//! Health, metrics and API description of the server.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE,
};
use actix_web::{HttpResponse, web};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::json;

use super::edge::Edge;
use super::edge::answer::{self, Answer};
use super::edge::auth::{Caller, Operator, Read};
use super::edge::error::{Code, Problem};
use super::openapi;
use crate::app::App;

/// How long what the database answered to `/readyz` counts.
const PING_EVERY: Duration = Duration::from_secs(1);

/// Whether the process answers at all
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, description = "It does")))]
pub(super) async fn health() -> Answer {
    answer::ok(&json!({ "status": "ok" }))
}

/// Whether the server takes requests: started, not stopping, its database there
#[utoipa::path(get, path = "/readyz", tag = "operations", responses((status = 200, description = "It does")))]
pub(super) async fn ready(app: web::Data<App>, edge: web::Data<Edge>) -> Answer {
    if !app.ready.load(Ordering::Acquire) {
        return Err(Problem::new(Code::NotReady, "the server is starting or stopping"));
    }
    // One question to the database a second, however many ask without a key.
    let mut known = edge.database.lock().await;
    let recent = known.as_ref().filter(|(at, _)| at.elapsed() < PING_EVERY).cloned();
    let (_, answered) = match recent {
        Some(recent) => recent,
        None => {
            let answered = app.store.ping().await.map_err(Problem::from);
            known.insert((Instant::now(), answered)).clone()
        }
    };
    answered?;
    answer::ok(&json!({ "status": "ready" }))
}

/// Figures in the text format of Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "Figures", content_type = "text/plain", body = String))
)]
pub(super) async fn metrics(_: Operator<Read>, edge: web::Data<Edge>) -> Answer {
    let mut text = recorder().map(PrometheusHandle::render).unwrap_or_default();
    write_held(&mut text, &edge);
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(text))
}

/// Appends what callers hold now. The recorder is shared by the servers of a process; these are this one's.
fn write_held(text: &mut String, edge: &Edge) {
    let (memory, files) = (edge.memory.used(), edge.files.used());
    let connections = edge.connections.used();
    // Writing to a string can't fail.
    let _ = write!(
        text,
        "# TYPE antar_body_bytes_in_flight gauge\n\
         antar_body_bytes_in_flight{{place=\"memory\"}} {memory}\n\
         antar_body_bytes_in_flight{{place=\"file\"}} {files}\n\n\
         # TYPE antar_http_connections gauge\n\
         antar_http_connections {connections}\n"
    );
}

/// Runs the recorder's upkeep periodically, so that memory stays bounded even if the metrics are
/// never scraped.
pub async fn keep_metrics(mut stop: tokio::sync::watch::Receiver<bool>) {
    const EVERY: Duration = Duration::from_secs(5);
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Some(recorder) = recorder() {
            recorder.run_upkeep();
        }
    }
}

/// The process's metrics recorder. The `metrics` crate allows one per process, the first one
/// installed; servers in one process share it.
pub(super) fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let install = || {
        let buckets = [
            0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ];
        // From a filter's microseconds to an interpreter's milliseconds.
        let of_plugins = [
            0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002,
            0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
        ];
        let calls = Matcher::Full("antar_plugin_call_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets(&buckets).ok()?;
        let builder = builder.set_buckets_for_metric(calls, &of_plugins).ok()?;
        // Fails if a program that runs this server as a library has already installed a recorder.
        builder.install_recorder().ok()
    };
    RECORDER.get_or_init(install).as_ref()
}

/// This description
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(super) async fn description(_: Caller<Read>, text: web::Data<openapi::Text>) -> Answer {
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(text.0.clone()))
}

/// This description for people, and the catalogue of problems
#[utoipa::path(
    get, path = "/docs", tag = "operations",
    responses((status = 200, description = "A page", content_type = "text/html", body = String))
)]
pub(super) async fn docs(caller: Result<Caller<Read>, Problem>) -> Answer {
    if let Err(problem) = caller {
        // Makes a browser prompt for the key, as the password of any user name.
        let mut answer = problem.answer(None);
        let challenge = HeaderValue::from_static("Basic realm=\"antar: the key is the password\"");
        answer.headers_mut().append(WWW_AUTHENTICATE, challenge);
        return Ok(answer);
    }
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'";
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CONTENT_TYPE, "text/html; charset=utf-8"));
    answer.insert_header((CONTENT_SECURITY_POLICY, policy));
    Ok(answer.body(include_str!("docs.html")))
}
