//! Request bodies: read up to a size limit, then parsed into a type, with a JSON pointer to each
//! error.
//!
//! A body is read only for a caller that an extractor before it has identified, and counts against the
//! [`Account`](super::auth::Account) that this extractor leaves with the request.

use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use antar_json::{Document, Kind, Limits, Value};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::auth::{Account, still_stands};
use super::connection::Connection;
use super::error::{Code, Problem};
use super::holder::Charge;
use super::received::Received;
use crate::model::{Invalid, pointer_token};

/// The key of a request whose body took longer is looked up again.
const RIGHT_CHECKED_AFTER: Duration = Duration::from_secs(1);

/// A request body of at most `intake.body_bytes_max`.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    limits: Limits,
    /// Of a short body; a longer one has its place with its bytes.
    _place: Option<Charge>,
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
        let payload = payload.take();
        let collector = Collector::new(req, &payload);
        Box::pin(async move {
            let collector = collector?;
            let config = collector.connection.edge.config.clone();
            let bytes_max = config.intake.body_bytes_max;
            let (bytes, place) =
                collector.collect(payload, bytes_max, "intake.body_bytes_max").await?;
            let limits = Limits { bytes_max, depth_max: config.intake.depth_max };
            Ok(Body { bytes, limits, _place: place })
        })
    }
}

impl FromRequest for Upload {
    type Error = Problem;
    type Future = Reading<Upload>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let content_type = req.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_wasm =
            content_type.is_some_and(|text| text.eq_ignore_ascii_case("application/wasm"));
        let payload = payload.take();
        let collector = Collector::new(req, &payload);
        Box::pin(async move {
            if !is_wasm {
                let detail = "a plugin is uploaded as application/wasm";
                return Err(Problem::new(Code::UnsupportedMediaType, detail));
            }
            let collector = collector?;
            let bytes_max = collector.connection.edge.config.plugins.upload_bytes_max;
            let (bytes, _) =
                collector.collect(payload, bytes_max, "plugins.upload_bytes_max").await?;
            Ok(Upload(bytes))
        })
    }
}

/// What is needed to read a request's body, taken from its head.
struct Collector {
    req: HttpRequest,
    connection: Rc<Connection>,
    account: Account,
    length: Option<usize>,
}

impl Collector {
    fn new(req: &HttpRequest, payload: &Payload) -> Result<Collector, Problem> {
        let connection = req.conn_data::<Rc<Connection>>().cloned();
        let connection =
            connection.ok_or_else(|| Problem::internal("the request has no connection"))?;
        let account = match payload {
            Payload::None => Account::Operator,
            _ => req.extensions_mut().remove().ok_or_else(|| {
                Problem::internal("a body would be read before its caller is known")
            })?,
        };
        let length = req.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Collector { req: req.clone(), connection, account, length })
    }

    async fn collect(
        self,
        mut payload: Payload,
        bytes_max: usize,
        setting: &'static str,
    ) -> Result<(Bytes, Option<Charge>), Problem> {
        let too_large = || {
            Problem::new(
                Code::BodyTooLarge,
                format!("the body is longer than {bytes_max} bytes ({setting})"),
            )
        };
        if self.length.is_some_and(|length| length > bytes_max) {
            return Err(too_large());
        }
        let (connection, began) = (&self.connection, Instant::now());
        let mut received = Received::new(connection.edge.clone(), self.account, self.length);
        let reading = async {
            while let Some(chunk) = payload.next().await {
                let chunk = chunk.map_err(|e| broken(&e))?;
                connection.progress();
                if received.arrived() + chunk.len() > bytes_max {
                    return Err(too_large());
                }
                received.push(chunk).await?;
            }
            Ok(())
        };
        let time_ms = connection.edge.config.intake.body_timeout_ms;
        let late = |_| {
            let detail = format!("it took longer than {time_ms} ms (intake.body_timeout_ms)");
            Problem::new(Code::RequestTimeout, detail)
        };
        tokio::time::timeout(Duration::from_millis(time_ms), reading).await.map_err(late)??;
        connection.body_read();
        let received = received.finish().await?;
        if began.elapsed() > RIGHT_CHECKED_AFTER {
            still_stands(&self.req)?;
        }
        Ok(received)
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
