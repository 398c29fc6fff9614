//! Texts with placeholders over a call, byte by byte as it was received: what a signature covers, and where it
//! stands.

use antar_json::Kind;

use super::call::{Call, CallDocument, fields_of};

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
    pub timestamp: &'a str,
    pub key: &'a [u8],
}

impl CallText {
    /// # Errors
    /// A placeholder that is unknown or has no end.
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
        Ok(CallText(parts))
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
    /// What the call lacks, as a sentence.
    pub fn bytes(&self, values: Values<'_>) -> Result<Vec<u8>, String> {
        let Values { call, document, timestamp, key } = values;
        let mut out = Vec::with_capacity(call.body.len() + 64);
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Body => out.extend_from_slice(&call.body),
                Part::BodyCrc32 => {
                    let mut crc = flate2::Crc::new();
                    crc.update(&call.body);
                    out.extend_from_slice(crc.sum().to_string().as_bytes());
                }
                Part::Timestamp => out.extend_from_slice(timestamp.as_bytes()),
                Part::Method => out.extend_from_slice(call.method.as_bytes()),
                Part::Url => out.extend_from_slice(call.url.as_bytes()),
                Part::Path => {
                    let path = call.url.split_once("://").map_or(call.url.as_str(), |(_, r)| r);
                    let path = path.find('/').map_or("/", |at| &path[at..]);
                    let path = path.split('?').next().unwrap_or_default();
                    out.extend_from_slice(path.as_bytes());
                }
                Part::Query => out.extend_from_slice(call.query.as_bytes()),
                Part::Form => out.extend_from_slice(&form(call)?),
                Part::Key => out.extend_from_slice(key),
                Part::Header(name) => {
                    let value = call.header(name);
                    let value = value.ok_or_else(|| format!("the call has no header `{name}`"))?;
                    out.extend_from_slice(value.as_bytes());
                }
                Part::Parameter(name) => {
                    let value = call.parameter(name);
                    let value =
                        value.ok_or_else(|| format!("the call has no parameter `{name}`"))?;
                    out.extend_from_slice(value.as_bytes());
                }
                Part::BodyPath(path) => {
                    let value = document.document.root().at(path);
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
