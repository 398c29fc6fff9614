//! Checks the answers of filters and transforms and converts them into outcomes.

use antar_json::{Document, Kind};

use super::{CallError, Limits, Place, bindings::types, guest::truncate};

/// What happens to the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It continues unchanged: a filter's `pass`, a transform's `unchanged`.
    Pass,
    Replace(Replacement),
    /// It is replaced by several events, at least one. At intake only.
    Split(Vec<Replacement>),
    /// It ends here, with the plugin's reason.
    Drop(String),
}

/// A new event in place of the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// A JSON object.
    pub data: Document,
    /// At intake only. A valid event type, or none to keep it.
    pub event_type: Option<String>,
    /// At intake only. Each replaces the attribute of its name; the others stay.
    pub attributes: Vec<(String, String)>,
    /// Per webhook only. Valid names, values without control characters.
    pub headers: Vec<(String, String)>,
}

pub(super) fn from_verdict(verdict: types::Verdict, limits: &Limits) -> Outcome {
    match verdict {
        types::Verdict::Pass => Outcome::Pass,
        types::Verdict::Drop(reason) => Outcome::Drop(cut(reason, limits)),
    }
}

pub(super) fn from_outcome(
    outcome: types::Outcome,
    place: Place,
    limits: &Limits,
) -> Result<Outcome, CallError> {
    let mut left = limits.output_bytes_max;
    let mut check = |replacement| replacement_from(replacement, place, limits, &mut left);
    Ok(match outcome {
        types::Outcome::Unchanged => Outcome::Pass,
        types::Outcome::Drop(reason) => Outcome::Drop(cut(reason, limits)),
        types::Outcome::Replace(replacement) => Outcome::Replace(check(replacement)?),
        types::Outcome::Split(_) if place == Place::Webhook => {
            return bad("an event can be split at intake only".into());
        }
        types::Outcome::Split(parts) if parts.is_empty() => {
            return bad("the event was split into nothing; to remove it, drop it".into());
        }
        types::Outcome::Split(parts) if parts.len() > limits.split_max => {
            return bad(format!(
                "split into {} events, allowed are {}",
                parts.len(),
                limits.split_max
            ));
        }
        types::Outcome::Split(parts) => {
            Outcome::Split(parts.into_iter().map(check).collect::<Result<_, _>>()?)
        }
    })
}

pub(super) fn from_problem(problem: types::Problem, limits: &Limits) -> CallError {
    match problem {
        types::Problem::Retry(reason) => CallError::Retry(cut(reason, limits)),
        types::Problem::Fail(reason) => CallError::Fail(cut(reason, limits)),
    }
}

fn cut(mut reason: String, limits: &Limits) -> String {
    truncate(&mut reason, limits.reason_bytes_max);
    reason
}

fn bad<T>(what: String) -> Result<T, CallError> {
    Err(CallError::BadOutput(what))
}

fn replacement_from(
    replacement: types::Replacement,
    place: Place,
    limits: &Limits,
    bytes_left: &mut usize,
) -> Result<Replacement, CallError> {
    let types::Replacement { data, event_type, attributes, headers } = replacement;
    let pairs = attributes.iter().chain(&headers);
    let bytes = data.len() + pairs.map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let Some(left) = bytes_left.checked_sub(bytes) else {
        return bad(format!("more than {} bytes", limits.output_bytes_max));
    };
    *bytes_left = left;
    if attributes.len().max(headers.len()) > limits.fields_max {
        return bad(format!("more than {} attributes or headers", limits.fields_max));
    }
    match place {
        Place::Webhook if event_type.is_some() || !attributes.is_empty() => {
            return bad("event type and attributes can be changed at intake only".into());
        }
        Place::Intake if !headers.is_empty() => {
            return bad("headers can be set per webhook only".into());
        }
        _ => {}
    }
    if let Some(name) = event_type.as_deref().filter(|name| !is_event_type(name)) {
        return bad(format!("{name:?} is no event type"));
    }
    for (name, value) in &headers {
        check_header(name, value)?;
    }
    Ok(Replacement { data: object(&data, limits)?, event_type, attributes, headers })
}

fn object(data: &str, limits: &Limits) -> Result<Document, CallError> {
    let bounds = antar_json::Limits {
        bytes_max: limits.output_bytes_max,
        depth_max: limits.output_depth_max,
    };
    match Document::parse(data.as_bytes(), bounds) {
        Ok(document) if document.root().kind() == Kind::Object => Ok(document),
        Ok(_) => bad("the data is no JSON object".into()),
        Err(e) => bad(format!("the data is no JSON: {e}")),
    }
}

/// Segments of `[A-Za-z0-9_-]` joined by dots.
fn is_event_type(name: &str) -> bool {
    let segment = |s: &str| {
        !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    name.split('.').all(segment)
}

/// A token (RFC 9110 §5.6.2) and a value without control characters (§5.5).
fn check_header(name: &str, value: &str) -> Result<(), CallError> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return bad(format!("{name:?} is no header name"));
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return bad(format!("the value of header {name} has control characters"));
    }
    Ok(())
}
