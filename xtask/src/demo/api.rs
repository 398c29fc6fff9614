//! A client for Antar's API.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Timeout of one call.
const ANSWER_S_MAX: u64 = 30;

/// A client with the operator's key.
#[derive(Clone)]
pub(crate) struct Api {
    /// `http://127.0.0.1:8090`
    pub(crate) base: String,
    pub(crate) key: String,
    agent: ureq::Agent,
}

impl Api {
    pub(crate) fn new(base: String, key: String) -> Api {
        Api { base, key, agent: agent() }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.call("GET", path, "application/json", Vec::new())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call("POST", path, "application/json", body.to_string().into_bytes())
    }

    /// Sends `body` unchanged. Any status but 2xx is an error with the response's text.
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Value> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", content_type)
            .body(body)?;
        let mut answer = self.agent.run(request).with_context(|| format!("{method} {path}"))?;
        let text = answer.body_mut().read_to_string()?;
        if !answer.status().is_success() {
            bail!("{method} {path} answered {}: {text}", answer.status());
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text)
            .with_context(|| format!("{method} {path} answered no JSON: {text}"))
    }

    /// Reads a whole list, page by page.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{joint}limit=100{cursor}"))?;
            rows.extend(page["data"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(rows),
            }
        }
    }
}

/// Whether `url` answers 200.
pub(crate) fn answers(url: &str) -> bool {
    agent().get(url).call().is_ok_and(|answer| answer.status() == 200)
}

/// The body of a GET without a key; any status but 2xx is an error.
pub(crate) fn get_plain(url: &str) -> Result<String> {
    let mut answer = agent().get(url).call().with_context(|| format!("GET {url}"))?;
    let text = answer.body_mut().read_to_string()?;
    if !answer.status().is_success() {
        bail!("GET {url} answered {}: {text}", answer.status());
    }
    Ok(text)
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(ANSWER_S_MAX)))
        .build()
        .new_agent()
}
