//! A plain HTTP client.

use std::fmt::Write as _;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::DEADLINE;

/// A request to the server. Build it, then [`Call::send`] it.
pub struct Call {
    request: http::request::Builder,
    body: Bytes,
    spelled: String,
}

impl Call {
    pub fn new(method: &str, url: &str) -> Call {
        let request = http::Request::builder().method(method).uri(url);
        Call { request, body: Bytes::new(), spelled: format!("{method} {url}") }
    }

    pub fn header(mut self, name: &str, value: &str) -> Call {
        self.request = self.request.header(name, value);
        self
    }

    pub fn key(self, key: &str) -> Call {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// Sets `value` as the body, with the content type of JSON.
    pub fn json(self, value: &Value) -> Call {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// Sets these bytes as the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Call {
        self.body = body.into();
        self
    }

    /// Sends the request and returns the response, whatever its status.
    pub async fn send(self) -> Answer {
        let spelled = self.spelled.clone();
        self.try_send().await.unwrap_or_else(|error| panic!("{spelled}: {error}"))
    }

    /// Sends the request; an error if the connection failed.
    pub async fn try_send(self) -> Result<Answer, String> {
        let client: Client<HttpConnector, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).build_http();
        let request = self.request.body(Full::new(self.body)).map_err(|e| e.to_string())?;
        let exchange = async {
            let response = client.request(request).await.map_err(|e| format!("{e:?}"))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|e| format!("{e:?}"))?.to_bytes();
            Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
                call: self.spelled,
            })
        };
        tokio::time::timeout(DEADLINE, exchange)
            .await
            .map_err(|_| "no answer in time".to_owned())?
    }
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    call: String,
}

impl Answer {
    /// Panics with the response's text unless it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{} answered {}", self.call, self.text());
        self
    }

    /// The value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The HTTP status and `code` of a problem; checks that the document is well-formed.
    #[track_caller]
    pub fn problem(&self) -> (u16, String) {
        let problem = self.json();
        let content_type = self.headers.get("content-type").map(|value| value.to_str().unwrap());
        assert_eq!(content_type, Some("application/problem+json"), "{}: {problem}", self.call);
        assert_eq!(problem["status"], self.status, "{}: {problem}", self.call);
        (self.status, problem["code"].as_str().expect("a problem has a code").to_owned())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.call, self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Percent-encodes everything that is not safe in a path segment or query value.
pub(crate) fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte as char);
        } else {
            write!(out, "%{byte:02X}").unwrap();
        }
        out
    })
}
