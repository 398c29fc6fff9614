//! Request bodies: read up to a size limit, then parsed into a type, with a JSON pointer to each
//! error.

use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{FromRequest, HttpRequest, web};
use antar_json::{Document, Kind, Limits, Value};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::error::{Code, Problem};
use crate::app::App;
use crate::config::Config;
use crate::model::Invalid;
use crate::pipeline::accept::intake::pointer_token;

/// Time limit from the head of a request to the end of its body.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);

/// A request body of at most `intake.body_bytes_max`.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    limits: Limits,
}

/// A body of up to `plugins.upload_bytes_max`.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct Upload(pub(crate) Bytes);

impl Body {
    /// The body as JSON; an empty body is `{}`.
    pub(crate) fn document(&self) -> Result<Document, Problem> {
        let text: &[u8] = if self.bytes.is_empty() { b"{}" } else { &self.bytes };
        let malformed = |e: antar_json::ParseError| {
            Problem::new(Code::MalformedJson, format!("the body is no JSON: {e}"))
        };
        Document::parse(text, self.limits).map_err(malformed)
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        read(&self.document()?)
    }
}

/// Deserializes a document into a type.
pub(crate) fn read<T: DeserializeOwned>(document: &Document) -> Result<T, Problem> {
    serde_json::from_str(document.text()).map_err(|error| {
        let text = error.to_string();
        let detail = text.rsplit_once(" at line ").map_or(text.as_str(), |(detail, _)| detail);
        // The text is compact, so it is a single line; the column counts the bytes read.
        let at = error.column().saturating_sub(1);
        // `serde_json` locates an error in a string after the string, on the comma or bracket
        // there, and a missing field on the bracket of the object that lacks it.
        let after = !detail.starts_with("missing field");
        Problem::from(Invalid::at(pointer_at(document, at, after), detail))
    })
}

/// JSON pointer to the innermost value that contains byte `at` of the text or, with `or_after`,
/// that ends just before it.
fn pointer_at(document: &Document, at: usize, or_after: bool) -> String {
    let (mut here, mut pointer) = (document.root(), String::new());
    loop {
        let around = |value: Value<'_>| {
            let span = span(document, value);
            span.contains(&at) || (or_after && span.end == at)
        };
        let next = match here.kind() {
            Kind::Object => here.members().find_map(|(key, value)| {
                let name = || pointer_token(&key.as_str().unwrap_or_default());
                (around(key) || around(value)).then(|| (name(), value))
            }),
            Kind::Array => {
                let mut elements = here.elements().enumerate();
                elements.find(|(_, value)| around(*value)).map(|(n, value)| (n.to_string(), value))
            }
            _ => None,
        };
        let Some((token, value)) = next else { return pointer };
        pointer.push('/');
        pointer.push_str(&token);
        here = value;
    }
}

/// Byte range of a value in its document's text.
fn span(document: &Document, value: Value<'_>) -> Range<usize> {
    let start = value.raw().as_ptr().addr() - document.text().as_ptr().addr();
    start..start + value.raw().len()
}

type Reading<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

impl FromRequest for Body {
    type Error = Problem;
    type Future = Reading<Body>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let limits = limit(req, |config| Limits {
            bytes_max: config.intake.body_bytes_max,
            depth_max: config.intake.depth_max,
        });
        let reading = collect(req, payload, limits.bytes_max, "intake.body_bytes_max");
        Box::pin(async move { Ok(Body { bytes: reading.await?, limits }) })
    }
}

impl FromRequest for Upload {
    type Error = Problem;
    type Future = Reading<Upload>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes_max = limit(req, |config| config.plugins.upload_bytes_max);
        let reading = collect(req, payload, bytes_max, "plugins.upload_bytes_max");
        Box::pin(async move { reading.await.map(Upload) })
    }
}

fn limit<T>(req: &HttpRequest, of: impl Fn(&Config) -> T) -> T {
    match req.app_data::<web::Data<App>>() {
        Some(app) => of(&app.config),
        None => of(&Config::default()),
    }
}

fn collect(
    req: &HttpRequest,
    payload: &mut Payload,
    bytes_max: usize,
    setting: &'static str,
) -> impl Future<Output = Result<Bytes, Problem>> + use<> {
    let length =
        req.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut payload = payload.take();
    let too_large = move || {
        Problem::new(
            Code::BodyTooLarge,
            format!("the body is longer than {bytes_max} bytes ({setting})"),
        )
    };
    let reading = async move {
        let length: usize = length.unwrap_or(0);
        if length > bytes_max {
            return Err(too_large());
        }
        let mut bytes = BytesMut::with_capacity(length);
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|e| broken(&e))?;
            if bytes.len() + chunk.len() > bytes_max {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    };
    async move {
        let late = || {
            Problem::new(
                Code::RequestTimeout,
                format!("it took longer than {} s", BODY_TIME_MAX.as_secs()),
            )
        };
        tokio::time::timeout(BODY_TIME_MAX, reading).await.unwrap_or_else(|_| Err(late()))
    }
}

fn broken(error: &PayloadError) -> Problem {
    Problem::new(Code::MalformedJson, format!("the body broke off: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WebhookSpec;

    fn refused(text: &str) -> (String, String) {
        let problem = read::<WebhookSpec>(&text.parse().unwrap()).unwrap_err();
        assert_eq!(problem.code, Code::Invalid);
        let error = problem.errors.into_iter().next().unwrap();
        (error.pointer, error.detail)
    }

    #[test]
    fn errors_point_to_the_place() {
        for (text, pointer) in [
            (r#"{"name": "a", "event_types": ["*"], "url": 7}"#, "/url"),
            (r#"{"name": "a", "event_types": ["*", "a b"], "url": "x"}"#, "/event_types/1"),
            (r#"{"name": "a", "event_types": ["a b", "*"], "url": "x"}"#, "/event_types/0"),
            (r#"{"name": "a", "event_types": [], "url": "x", "method": "FETCH"}"#, "/method"),
            (r#"{"name": "a", "facets": {"inbox": [1]}, "url": "x"}"#, "/facets/inbox"),
            (
                r#"{"name": "a", "event_types": ["*"], "url": "x", "retry": {"jitter": "high"}}"#,
                "/retry/jitter",
            ),
            (r#"{"name": "a", "retry": {"attemps_max": 3}}"#, "/retry/attemps_max"),
            (r#"{"name": "a", "event_types": ["*"]}"#, ""),
            ("7", ""),
        ] {
            assert_eq!(refused(text).0, pointer, "{text}");
        }
        let (_, detail) = refused(r#"{"name": "a", "event_types": ["*"]}"#);
        assert_eq!(detail, "missing field `url`");
    }

    #[test]
    fn documents_inside_stay_as_posted() {
        let text =
            r#"{"name": "a", "event_types": ["*"], "url": "x", "rule": {"data": {"n": [1.50]}}}"#;
        let spec: WebhookSpec = read(&text.parse().unwrap()).unwrap();
        assert_eq!(spec.rule.text(), r#"{"data":{"n":[1.50]}}"#);
    }
}
