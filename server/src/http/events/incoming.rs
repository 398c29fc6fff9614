//! Calls from outside to `/in/{source}/{secret}` or to the path of a profile. They need no API key,
//! since the URL contains a secret.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

use crate::app::{App, Posted};
use crate::http::edge::answer::Answer;
use crate::http::edge::body::Body;
use crate::http::edge::error::{Code, Problem};
use crate::http::edge::path::decoded;
use crate::pipeline::accept::source::{Call, Source};
use crate::pipeline::{self};

/// Call a source
///
/// With any method. The call becomes one or more events, as the source says, and is answered once
/// these are durable, as the source's profile says. Unknown, wrong and disabled are the same 404.
#[utoipa::path(
    method(get, post, put, patch, delete), path = "/in/{source}/{secret}", tag = "incoming",
    responses((status = 200, description = "Taken; status and body are those of the source's profile"))
)]
pub(crate) async fn own_path(app: web::Data<App>, req: HttpRequest, body: Body) -> Answer {
    let path = req.path().to_owned();
    let mut segments = path.split('/').skip(2).map(decoded);
    let (source, secret) =
        (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    call(&app, &req, &body, &source, &secret).await
}

/// Requests that match no route: the paths of profiles, and 404.
pub(crate) async fn other_path(app: web::Data<App>, req: HttpRequest, body: Body) -> Answer {
    match app.registry.match_incoming(req.path()) {
        Some((source, secret)) => {
            call(&app, &req, &body, &decoded(&source), &decoded(&secret)).await
        }
        None => Err(nothing_here()),
    }
}

fn nothing_here() -> Problem {
    Problem::new(Code::NotFound, "nothing answers at this path; `/docs` lists all calls")
}

/// The enabled source behind a URL, if the secret matches.
fn find(app: &App, source: &str, secret: &str) -> Option<Arc<Source>> {
    let source = app.registry.source(source.parse().ok()?)?;
    (source.secret.is(secret) && source.spec.enabled).then_some(source)
}

async fn call(app: &App, req: &HttpRequest, body: &Body, source: &str, secret: &str) -> Answer {
    let source = find(app, source, secret).ok_or_else(nothing_here)?;
    let tenant = app.registry.tenant(&source.tenant).ok_or_else(nothing_here)?;
    let call = Call {
        method: req.method().as_str().to_owned(),
        path: without_secret(req.path(), secret),
        query: req.query_string().to_owned(),
        headers: headers(req),
        body: body.bytes.clone(),
    };
    let drafts = app.pipeline.drafts(&source, call).await??;
    let posted = app.post_events(&tenant, drafts.into_iter().map(Ok).collect(), None).await?;
    if let Posted::New(answers) = posted {
        let refused = |answer: &pipeline::Answer| matches!(answer, pipeline::Answer::Refused(_));
        if !answers.is_empty() && answers.iter().all(refused) {
            let first = answers.into_iter().find_map(|answer| match answer {
                pipeline::Answer::Refused(invalid) => Some(invalid),
                pipeline::Answer::Accepted { .. } => None,
            });
            return first.map_or_else(|| Ok(taken(&source)), |invalid| Err(invalid.into()));
        }
    }
    Ok(taken(&source))
}

/// The path as it was called, without the secret.
fn without_secret(path: &str, secret: &str) -> String {
    path.replacen(&format!("/{secret}"), "", 1)
}

/// Names in lower case; repeated headers are joined with commas (RFC 9110 §5.3).
fn headers(req: &HttpRequest) -> Vec<(String, String)> {
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

/// The success response that the profile defines.
fn taken(source: &Source) -> HttpResponse {
    let incoming = source.profile.spec.incoming.as_ref();
    let (status, body) =
        incoming.map_or((200, r#"{"success":true}"#), |incoming| (incoming.status, &incoming.body));
    let mut answer = HttpResponseBuilder::new(StatusCode::from_u16(status).unwrap_or_default());
    if body.is_empty() {
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
    }
}
