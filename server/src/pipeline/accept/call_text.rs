//! Texts with placeholders over a call, byte by byte as it was received: what a signature covers, and where it
//! stands.

use antar_json::{Kind, OutOfSteps, Steps};

use super::call::{Call, CallDocument, fields_of};

/// Placeholders of one text, and those that stand for the whole body.
const PLACEHOLDERS_MAX: usize = 16;
const BODIES_MAX: usize = 2;

/// Why a text has no value for a call, or the value is not the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// It takes more steps.
    OutOfSteps,
    /// As a sentence.
    Because(String),
}

impl From<OutOfSteps> for Unmet {
    fn from(OutOfSteps: OutOfSteps) -> Unmet {
        Unmet::OutOfSteps
    }
}

impl From<String> for Unmet {
    fn from(why: String) -> Unmet {
        Unmet::Because(why)
    }
}

impl From<&str> for Unmet {
    fn from(why: &str) -> Unmet {
        Unmet::Because(why.to_owned())
    }
}

/// A text with placeholders.
#[derive(Clone, Debug)]
pub struct CallText(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Body,
    BodyCrc32,
    Timestamp,
    Method,
    Url,
    Path,
    Query,
    Form,
    Key,
    Header(String),
    Parameter(String),
    BodyPath(String),
}

/// What a [`CallText`] is made of besides the call.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    pub call: &'a Call,
    pub document: &'a CallDocument,
    /// As called, or with or without the port that its scheme has anyway.
    pub url: &'a str,
    pub timestamp: &'a str,
    pub key: &'a [u8],
    pub steps: &'a Steps,
}

impl CallText {
    /// # Errors
    /// A placeholder that is unknown or has no end, or too many of them.
    pub fn parse(text: &str) -> Result<CallText, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            if at > 0 {
                parts.push(Part::Text(rest[..at].to_owned()));
            }
            let end = rest[at..].find('}').map(|end| at + end);
            let end = end.ok_or_else(|| format!("`{}` has no `}}`", &rest[at..]))?;
            parts.push(Part::parse(&rest[at + 1..end])?);
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let count = |is: fn(&Part) -> bool| parts.iter().filter(|part| is(part)).count();
        if count(|part| !matches!(part, Part::Text(_))) > PLACEHOLDERS_MAX {
            return Err(format!("has {PLACEHOLDERS_MAX} placeholders at most"));
        }
        if count(|part| matches!(part, Part::Body | Part::Form)) > BODIES_MAX {
            return Err(format!("names the whole body {BODIES_MAX} times at most"));
        }
        Ok(CallText(parts))
    }

    /// The header or query parameter that is the whole text.
    #[must_use]
    pub fn only_header(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Header(name)] => Some(name),
            _ => None,
        }
    }

    #[must_use]
    pub fn only_parameter(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Parameter(name)] => Some(name),
            _ => None,
        }
    }

    #[must_use]
    pub fn names_url(&self) -> bool {
        self.0.contains(&Part::Url)
    }

    #[must_use]
    pub fn names_key(&self) -> bool {
        self.0.contains(&Part::Key)
    }

    #[must_use]
    pub fn names_timestamp(&self) -> bool {
        self.0.contains(&Part::Timestamp)
    }

    /// The bytes for a call.
    ///
    /// # Errors
    /// What the call lacks.
    pub fn bytes(&self, values: Values<'_>) -> Result<Vec<u8>, Unmet> {
        let Values { call, document, url, timestamp, key, steps } = values;
        let mut out = Vec::with_capacity(call.body.len() + 64);
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Body => {
                    steps.read(call.body.len())?;
                    out.extend_from_slice(&call.body);
                }
                Part::BodyCrc32 => {
                    steps.read(call.body.len())?;
                    let mut crc = flate2::Crc::new();
                    crc.update(&call.body);
                    out.extend_from_slice(crc.sum().to_string().as_bytes());
                }
                Part::Timestamp => out.extend_from_slice(timestamp.as_bytes()),
                Part::Method => out.extend_from_slice(call.method.as_bytes()),
                Part::Url => out.extend_from_slice(url.as_bytes()),
                Part::Path => {
                    let path = call.url.split_once("://").map_or(call.url.as_str(), |(_, r)| r);
                    let path = path.find('/').map_or("/", |at| &path[at..]);
                    let path = path.split('?').next().unwrap_or_default();
                    out.extend_from_slice(path.as_bytes());
                }
                Part::Query => out.extend_from_slice(call.query.as_bytes()),
                Part::Form => {
                    steps.read(call.body.len())?;
                    out.extend_from_slice(&form(call)?);
                }
                Part::Key => out.extend_from_slice(key),
                Part::Header(name) => {
                    let value = call.header(name);
                    let value = value.ok_or_else(|| format!("the call has no header `{name}`"))?;
                    out.extend_from_slice(value.as_bytes());
                }
                Part::Parameter(name) => {
                    steps.read(call.query.len())?;
                    let value = call.parameter(name);
                    let value =
                        value.ok_or_else(|| format!("the call has no parameter `{name}`"))?;
                    out.extend_from_slice(value.as_bytes());
                }
                Part::BodyPath(path) => {
                    let value = document.document.root().at_within(path, steps)?;
                    let value = value.ok_or_else(|| format!("the call has no `{path}`"))?;
                    match value.kind() {
                        Kind::String => {
                            out.extend_from_slice(value.as_str().unwrap_or_default().as_bytes());
                        }
                        _ => out.extend_from_slice(value.raw().as_bytes()),
                    }
                }
            }
        }
        Ok(out)
    }
}

impl Part {
    fn parse(name: &str) -> Result<Part, String> {
        let below = |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.is_empty());
        Ok(match name {
            "body" => Part::Body,
            "body_crc32" => Part::BodyCrc32,
            "timestamp" => Part::Timestamp,
            "method" => Part::Method,
            "url" => Part::Url,
            "path" => Part::Path,
            "query" => Part::Query,
            "form" => Part::Form,
            "key" => Part::Key,
            _ => match (below("headers."), below("query."), below("body.")) {
                (Some(header), ..) => Part::Header(header.to_ascii_lowercase()),
                (_, Some(parameter), _) => Part::Parameter(parameter.to_owned()),
                (.., Some(_)) => Part::BodyPath(name.to_owned()),
                _ => {
                    return Err(format!(
                        "`{{{name}}}` is none of {{body}}, {{body_crc32}}, {{timestamp}}, {{method}}, {{url}}, {{path}}, \
                         {{query}}, {{form}}, {{key}}, {{headers.NAME}}, {{query.NAME}} and {{body.PATH}}"
                    ));
                }
            },
        })
    }
}

/// Names and values of a form, distinct, sorted, and without separators. A body of another type would not be
/// covered.
fn form(call: &Call) -> Result<Vec<u8>, String> {
    if call.body.is_empty() {
        return Ok(Vec::new());
    }
    if !call.is_form() {
        return Err("the body is no form, so the signature does not cover it".to_owned());
    }
    let mut fields: Vec<(String, String)> = fields_of(&call.body).collect();
    fields.sort_unstable();
    fields.dedup();
    Ok(fields.into_iter().flat_map(|(name, value)| [name, value]).collect::<String>().into())
}

/// A URL with the port of its scheme, if it has none, or without it.
pub(super) fn with_other_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    match host.strip_suffix(port) {
        Some(host) => Some(format!("{scheme}://{host}{target}")),
        None if host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']')) => None,
        None => Some(format!("{scheme}://{host}{port}{target}")),
    }
}
