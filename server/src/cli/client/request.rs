//! Requests, responses and warnings, formatted for people.

use serde_json::Value as Json;

/// `POST https://…`, the headers, and the body.
pub(super) fn lines(request: &Json) -> Vec<String> {
    let text = |name: &str| request[name].as_str().unwrap_or_default();
    let mut lines = vec![format!("{} {}", text("method"), text("url"))];
    lines.extend(headers_and_body(request));
    lines
}

/// The lines after the first of a request or response.
pub(super) fn headers_and_body(message: &Json) -> Vec<String> {
    let headers = message["headers"].as_object().into_iter().flatten();
    let header =
        |(name, value): (&String, &Json)| format!("{name}: {}", value.as_str().unwrap_or_default());
    let body = message["body"].as_str().unwrap_or_default().lines().map(ToOwned::to_owned);
    headers.map(header).chain(body).collect()
}

/// A warning about a likely mistake in a webhook: `warning: /body 2:9 …`.
pub(crate) fn warning(warning: &Json) -> String {
    let text = |name: &str| warning[name].as_str().unwrap_or_default();
    let place = match (warning["line"].as_u64(), warning["column"].as_u64()) {
        (Some(line), Some(column)) => format!(" {line}:{column}"),
        _ => String::new(),
    };
    format!("warning: {}{place} {}", text("pointer"), text("detail"))
}
