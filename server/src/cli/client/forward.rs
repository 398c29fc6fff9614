//! Sends recorded requests again, to an address of the user's choice.

use std::time::{Duration, Instant};

use antar_template::MASK;
use anyhow::Context;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value as Json, json};
use url::Url;

use crate::cli::terminal::usage::Usage;
use crate::model::is_of_connection;

/// Timeout of the response.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Bytes of the response read at most.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Address that requests are sent to.
pub(super) struct Target {
    url: Url,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// Result of a forwarded request.
pub(super) struct Forwarded {
    /// `None` if there was no response.
    pub(super) status: Option<u16>,
    /// Why there was no response.
    pub(super) error: Option<String>,
    pub(super) took_ms: u128,
    /// Headers left out because their values are masked.
    pub(super) left_out: Vec<String>,
    /// Whether the body has masked parts.
    pub(super) body_masked: bool,
}

impl Target {
    pub(super) fn new(text: &str) -> anyhow::Result<Target> {
        let url = Url::parse(text)
            .map_err(|error| Usage::error(format!("--forward `{text}` can't be read: {error}")))?;
        if url.scheme() != "http" {
            return Err(Usage::error("--forward takes an address that begins with http://"));
        }
        Ok(Target { url, http: Client::builder(TokioExecutor::new()).build_http() })
    }

    /// Sends the same method, headers and body, without headers whose values are masked in the
    /// record.
    pub(super) async fn send(&self, sent: &Json) -> anyhow::Result<Forwarded> {
        let began = Instant::now();
        let body = sent["body"].as_str().unwrap_or_default();
        let method = sent["method"].as_str().unwrap_or("POST");
        let mut request = Request::builder().method(method).uri(self.url.as_str());
        let mut left_out = Vec::new();
        for (name, value) in sent["headers"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            if value.contains(MASK) {
                left_out.push(name.clone());
            } else if !is_of_connection(name) {
                request = request.header(name, value);
            }
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes())));
        let request = request.context("the request can't be repeated")?;
        let answered = tokio::time::timeout(ANSWER_MAX, async {
            let answer = self.http.request(request).await.map_err(|e| innermost(&e))?;
            let status = answer.status().as_u16();
            // Read to the end, so that the connection can be reused.
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            body.map_err(|e| e.to_string())?;
            Ok(status)
        });
        let answered =
            answered.await.unwrap_or_else(|_| Err(format!("no answer within {ANSWER_MAX:?}")));
        let (status, error) = match answered {
            Ok(status) => (Some(status), None),
            Err(error) => (None, Some(error)),
        };
        Ok(Forwarded {
            status,
            error,
            took_ms: began.elapsed().as_millis(),
            left_out,
            body_masked: body.contains(MASK),
        })
    }
}

impl Forwarded {
    pub(super) fn json(&self, target: &Target) -> Json {
        json!({
            "url": target.url.as_str(),
            "status": self.status,
            "error": self.error,
            "took_ms": u64::try_from(self.took_ms).unwrap_or(u64::MAX),
            "left_out": self.left_out,
            "body_masked": self.body_masked,
        })
    }

    /// Remarks to show beside the response.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.left_out.is_empty() {
            let names = self.left_out.join(", ");
            notes.push(format!("without {names}: they hold secrets, which are not recorded"));
        }
        if self.body_masked {
            notes.push(format!("the body has {MASK} where secrets stand; signatures don't fit it"));
        }
        notes
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_are_taken() {
        assert!(Target::new("http://127.0.0.1:3000/hook").is_ok());
        for bad in ["127.0.0.1:3000", "https://a.example", "x"] {
            assert!(Target::new(bad).err().is_some_and(|error| error.is::<Usage>()), "{bad}");
        }
    }

    #[tokio::test]
    async fn who_is_not_there_is_an_error_of_this_one_request() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        drop(listener);
        let sent =
            json!({"method": "PUT", "headers": {"x-a": "1", "x-key": "Bearer •••"}, "body": "{}"});
        let forwarded = Target::new(&url).unwrap().send(&sent).await.unwrap();
        assert!(forwarded.error.is_some_and(|error| error.contains("refused")));
        assert_eq!(forwarded.left_out, ["x-key"]);
    }
}
