//! A small client for Antar's API.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::cli::terminal::usage::Usage;
use crate::exact_json;

/// Timeout of a call. An upload is compiled before it is answered.
const ANSWER_MS_MAX: u64 = 60_000;
/// Bytes of a response read at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Items requested per page.
const PAGE_ITEMS: usize = 100;
/// Pages of a list read at most.
const PAGES_MAX: usize = 10_000;

/// Calls the API with one key.
pub(crate) struct Client {
    /// `http://127.0.0.1:8090`
    base: String,
    key: String,
    http: Http,
}

/// The machine's certificates are read only when TLS is needed.
enum Http {
    Plain(Hyper<HttpConnector, Full<Bytes>>),
    Tls(Hyper<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{0}")]
    Problem(Problem),
    #[error(
        "{base} can't be reached: {detail}. Is `antar serve` running there? Elsewhere: --url or ANTAR_URL"
    )]
    Unreachable { base: String, detail: String },
    #[error("{what} was answered with what is no JSON: {text}")]
    NoJson { what: String, text: String },
}

/// An `application/problem+json` response (RFC 9457).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) code: String,
    title: String,
    detail: String,
    pub(crate) errors: Vec<FieldProblem>,
}

/// An error in one field.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FieldProblem {
    /// RFC 6901
    pub(crate) pointer: String,
    pub(crate) detail: String,
    /// Line inside the field's text.
    pub(crate) line: Option<usize>,
    pub(crate) column: Option<usize>,
    pub(crate) suggestion: Option<String>,
}

impl Problem {
    /// The code and a description.
    pub(crate) fn summary(&self) -> String {
        // With a list of errors, `detail` only repeats the first of them.
        let general = self.detail.is_empty() || !self.errors.is_empty() && !self.title.is_empty();
        let text = if general { &self.title } else { &self.detail };
        let hint = match self.status {
            401 => " (is ANTAR_KEY this server's key?)",
            403 => " (the key's scopes don't permit it)",
            _ => "",
        };
        match self.code.as_str() {
            "" => format!("{} {text}{hint}", self.status),
            code => format!("{} {code}: {text}{hint}", self.status),
        }
    }
}

impl FieldProblem {
    /// `/url line 1 column 7: what is wrong; suggestion`
    pub(crate) fn sentence(&self) -> String {
        let mut text =
            if self.pointer.is_empty() { "document".to_owned() } else { self.pointer.clone() };
        for (name, number) in [("line", self.line), ("column", self.column)] {
            if let Some(number) = number {
                let _ = write!(text, " {name} {number}");
            }
        }
        let _ = write!(text, ": {}", self.detail);
        if let Some(suggestion) = &self.suggestion {
            let _ = write!(text, " ({suggestion})");
        }
        text
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.summary())?;
        self.errors.iter().try_for_each(|error| write!(f, "\n  {}", error.sentence()))
    }
}

impl Client {
    pub(super) fn new(base: &str, key: &str) -> anyhow::Result<Client> {
        let url = url::Url::parse(base)
            .map_err(|error| Usage::error(format!("the URL `{base}` can't be read: {error}")))?;
        let http = match url.scheme() {
            "http" => Http::Plain(Hyper::builder(TokioExecutor::new()).build_http()),
            "https" => {
                let connector = HttpsConnectorBuilder::new()
                    .with_native_roots()
                    .context("no certificates of authorities on this machine; on Debian: apt-get install ca-certificates")?
                    .https_only()
                    .enable_http1()
                    .build();
                Http::Tls(Hyper::builder(TokioExecutor::new()).build(connector))
            }
            other => {
                return Err(Usage::error(format!(
                    "the URL begins with http:// or https://, not {other}:"
                )));
            }
        };
        Ok(Client { base: base.trim_end_matches('/').to_owned(), key: key.to_owned(), http })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Json, CallError> {
        self.call(Method::GET, path, "application/json", Bytes::new()).await
    }

    /// Gets a resource with the text of its numbers, or `None` if it does not exist.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Json>, CallError> {
        let answer = self.answer(Method::GET, path, "application/json", Bytes::new()).await;
        match answer.and_then(|answer| answer.read(|body| exact_json::parse(body).ok())) {
            Ok(found) => Ok(Some(found)),
            Err(CallError::Problem(problem)) if problem.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: &Json,
    ) -> Result<Json, CallError> {
        self.call(method, path, "application/json", body.to_string().into()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Json, CallError> {
        self.call(Method::DELETE, path, "application/json", Bytes::new()).await
    }

    /// Reads a whole list, page by page, with the text of its numbers.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Json>, CallError> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let path = format!("{path}?limit={PAGE_ITEMS}{cursor}");
            let page = self.answer(Method::GET, &path, "application/json", Bytes::new()).await?;
            let page = page.read(|body| exact_json::parse(body).ok())?;
            rows.extend(page["data"].as_array().cloned().unwrap_or_default());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={}", segment(next));
        }
        Ok(rows)
    }

    /// Sends `body` unchanged and returns the response's JSON, or null if it has no body.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Json, CallError> {
        let answer = self.answer(method, path, content_type, body).await?;
        answer.read(|body| serde_json::from_slice(body).ok())
    }

    /// The answer to a request, if it is a success.
    async fn answer(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Answer, CallError> {
        let what = format!("{method} {path}");
        let answer = async {
            let answer = self.request(method, path, content_type, body).await?;
            let status = answer.status();
            Ok::<_, CallError>((status, self.collect(answer.into_body()).await?))
        };
        let (status, body) = self.in_time(answer).await?;
        if !status.is_success() {
            return Err(CallError::Problem(problem(status.as_u16(), &body)));
        }
        Ok(Answer { what, body })
    }
}

/// An answer that is a success.
struct Answer {
    /// What was asked, for messages.
    what: String,
    body: Bytes,
}

impl Answer {
    /// The body as JSON, or null if there is none.
    fn read(self, parse: impl Fn(&[u8]) -> Option<Json>) -> Result<Json, CallError> {
        if self.body.is_empty() {
            return Ok(Json::Null);
        }
        parse(&self.body).ok_or_else(|| CallError::NoJson {
            what: self.what,
            text: String::from_utf8_lossy(&self.body).into_owned(),
        })
    }
}

impl Client {
    /// Opens a streaming response; fails unless the status in its head is a success.
    pub(super) async fn stream(&self, path: &str) -> Result<Incoming, CallError> {
        let request = self.request(Method::GET, path, "application/json", Bytes::new());
        let answer = self.in_time(request).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let body = self.in_time(self.collect(answer.into_body())).await?;
        Err(CallError::Problem(problem(status.as_u16(), &body)))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, CallError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", content_type)
            .body(Full::new(body))
            .map_err(|error| self.unreachable(error.to_string()))?;
        let answer = match &self.http {
            Http::Plain(http) => http.request(request).await,
            Http::Tls(http) => http.request(request).await,
        };
        answer.map_err(|error| self.unreachable(innermost(&error)))
    }

    async fn collect(&self, body: Incoming) -> Result<Bytes, CallError> {
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        Ok(body.map_err(|error| self.unreachable(error.to_string()))?.to_bytes())
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let answer = tokio::time::timeout(Duration::from_millis(ANSWER_MS_MAX), answer).await;
        answer
            .map_err(|_| self.unreachable(format!("no answer within {} s", ANSWER_MS_MAX / 1000)))?
    }

    fn unreachable(&self, detail: String) -> CallError {
        CallError::Unreachable { base: self.base.clone(), detail }
    }
}

/// The last error in the chain of causes, which describes the actual failure: "Connection refused".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Reads an error response, which may come from a proxy in front of Antar.
fn problem(status: u16, body: &[u8]) -> Problem {
    let mut problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    problem.status = status;
    if problem.title.is_empty() && problem.detail.is_empty() {
        problem.detail = String::from_utf8_lossy(body).trim().chars().take(500).collect();
    }
    problem
}

/// Encodes `text` as one segment of a path, or a value in a query.
pub(crate) fn segment(text: &str) -> String {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_every_error() {
        let body = br#"{"type": "about:blank", "title": "The template is not valid", "status": 422,
            "code": "template_invalid", "errors": [
            {"pointer": "/body", "detail": "`}}` is missing", "line": 2, "column": 7, "suggestion": "write {{a}}"},
            {"pointer": "", "detail": "something else"}]}"#;
        assert_eq!(
            problem(422, body).to_string(),
            "422 template_invalid: The template is not valid\n  \
             /body line 2 column 7: `}}` is missing (write {{a}})\n  document: something else"
        );
    }

    #[test]
    fn an_answer_of_something_in_between_is_shown() {
        assert_eq!(problem(502, b"<h1>Bad Gateway</h1>\n").to_string(), "502 <h1>Bad Gateway</h1>");
    }

    #[test]
    fn segments_are_encoded() {
        assert_eq!(segment("a.b-c/d e?"), "a.b-c%2Fd%20e%3F");
    }

    #[tokio::test]
    async fn who_is_not_there_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = Client::new(&base, "key").unwrap().get("/v1/tenants").await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("{base} can't be reached: ")), "{text}");
    }
}
