//! Answers to calls: handshakes, and what a source says once its events are durable.

use std::sync::Arc;

use antar_json::{Builder, Document, OutOfSteps, Steps};
use antar_rules::Pattern;
use antar_template::{ContentType, Limits, Place, RenderError, Scope, Template, Unresolved};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;

use super::call::{Call, CallDocument};
use super::call_text::{CallText, Unmet, Values};
use super::verify::{Context, check_keys, one_of_secrets};
use crate::model::{
    AnswerSpec, Encoding, FieldError, Handshake, HandshakeMac, HandshakeToken, Invalid,
    is_of_connection, pointer_token,
};

/// A compiled [`AnswerSpec`].
#[derive(Clone)]
pub struct CallAnswer {
    status: u16,
    content_type: String,
    headers: Vec<(String, Arc<Template>)>,
    body: Arc<Template>,
}

/// An answer ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedAnswer {
    pub status: u16,
    /// Of a body that is not empty.
    pub content_type: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// A compiled [`Handshake`].
#[derive(Clone)]
pub struct CallHandshake {
    methods: Option<Vec<String>>,
    when: Pattern,
    token: Option<(CallText, HandshakeToken)>,
    mac: Option<(CallText, HandshakeMac)>,
    pub verified: bool,
    answer: CallAnswer,
}

/// Headers that an answer can't set.
const OWN_HEADERS: [&str; 11] = [
    "content-type",
    "content-length",
    "content-encoding",
    "content-security-policy",
    "transfer-encoding",
    "trailer",
    "set-cookie",
    "clear-site-data",
    "service-worker-allowed",
    "strict-transport-security",
    "x-content-type-options",
];

/// Bytes of a rendered body, and of all rendered headers together.
const BODY_BYTES_MAX: usize = 64 << 10;
const HEADER_BYTES_MAX: usize = 8 << 10;
/// Headers of one answer.
const HEADERS_MAX: usize = 16;

impl CallAnswer {
    /// # Errors
    /// All that is wrong, with pointers into the answer.
    pub fn compile(spec: &AnswerSpec, limits: &Limits) -> Result<CallAnswer, Vec<FieldError>> {
        let mut errors = Vec::new();
        if !(200..600).contains(&spec.status) {
            errors.push(FieldError::new("/status", "is an HTTP status from 200 to 599"));
        }
        if matches!(spec.status, 204 | 205 | 304) && !spec.body.is_empty() {
            let detail = format!("an answer {} has none (RFC 9110 §15)", spec.status);
            errors.push(FieldError::new("/body", detail));
        }
        if spec.headers.len() > HEADERS_MAX {
            errors.push(FieldError::new("/headers", format!("has {HEADERS_MAX} entries at most")));
        }
        let content_type = match &spec.content_type {
            Some(content_type) => content_type.clone(),
            None if looks_like_json(&spec.body) => "application/json".to_owned(),
            None => "text/plain; charset=utf-8".to_owned(),
        };
        if http::HeaderValue::try_from(&content_type).is_err() {
            errors.push(FieldError::new("/content_type", "is no media type"));
        }
        // The answer comes from the place that people open the API's documentation at.
        if content_type.to_ascii_lowercase().contains("script") {
            errors.push(FieldError::new("/content_type", "is a script; an answer is none"));
        }
        let mut compile = |pointer: &str, text: &str, place: &Place| {
            match Template::compile(text, place, limits) {
                Ok(template) if template.secrets().is_empty() => return Some(Arc::new(template)),
                Ok(_) => errors.push(FieldError::new(pointer, "an answer can't show a secret")),
                Err(found) => {
                    let found = found.into_iter();
                    errors.extend(found.map(|error| FieldError::in_template(pointer, error)));
                }
            }
            None
        };
        let kind = ContentType::of(Some(&content_type), &spec.body);
        let body = compile("/body", &spec.body, &Place::Body(kind));
        let mut headers = Vec::new();
        for (name, text) in &spec.headers {
            let pointer = format!("/headers/{}", pointer_token(name));
            headers.extend(
                compile(&pointer, text, &Place::Header).map(|template| (name.clone(), template)),
            );
        }
        for name in spec.headers.keys() {
            let is_own = OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name));
            if is_own
                || is_of_connection(name)
                || http::HeaderName::try_from(name.as_str()).is_err()
            {
                let pointer = format!("/headers/{}", pointer_token(name));
                errors.push(FieldError::new(pointer, "is no header that an answer can set"));
            }
        }
        match body {
            Some(body) if errors.is_empty() => {
                Ok(CallAnswer { status: spec.status, content_type, headers, body })
            }
            _ => Err(errors),
        }
    }

    /// # Errors
    /// [`OutOfSteps`], or why a template has no result for this call.
    pub fn render(
        &self,
        call: &Document,
        steps: &Steps,
    ) -> Result<Result<RenderedAnswer, Invalid>, OutOfSteps> {
        let empty = Document::empty_object();
        let scope = Scope { root: call.root(), antar: empty.root(), attempt: None };
        let render = |template: &Template| {
            let rendered = match template.render_within(&scope, Unresolved::Empty, steps) {
                Ok(rendered) => rendered,
                Err(RenderError::OutOfSteps) => return Err(OutOfSteps),
                Err(error) => return Ok(Err(Invalid::at("/answer", error.to_string()))),
            };
            let text = antar_template::resolve(&rendered.pieces, |_| None);
            Ok(text.map_err(|error| Invalid::at("/answer", error.to_string())))
        };
        let too_long = |what, max| {
            let detail = format!("the {what} of the answer would be longer than {max} bytes");
            Ok(Err(Invalid::at("/answer", detail)))
        };
        let (mut headers, mut bytes) = (Vec::with_capacity(self.headers.len()), 0);
        for (name, template) in &self.headers {
            let value = match render(template)? {
                Ok(value) => value,
                Err(invalid) => return Ok(Err(invalid)),
            };
            bytes += name.len() + value.len();
            if bytes > HEADER_BYTES_MAX {
                return too_long("headers", HEADER_BYTES_MAX);
            }
            headers.push((name.clone(), value));
        }
        let body = match render(&self.body)? {
            Ok(body) if body.len() > BODY_BYTES_MAX => return too_long("body", BODY_BYTES_MAX),
            Ok(body) => body,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let (status, content_type) = (self.status, self.content_type.clone());
        Ok(Ok(RenderedAnswer { status, content_type, headers, body }))
    }
}

impl CallHandshake {
    /// # Errors
    /// All that is wrong, with pointers into the handshake.
    pub fn compile(spec: &Handshake, limits: &Limits) -> Result<CallHandshake, Vec<FieldError>> {
        let mut errors = Vec::new();
        let when = Pattern::parse(spec.when.root());
        let when = when.map_err(|error| {
            errors.push(FieldError::new(format!("/when{}", error.pointer), error.detail));
        });
        let mut text = |pointer: &str, text: &str| match CallText::parse(text) {
            Ok(parsed) if !parsed.names_key() && !parsed.names_timestamp() => Some(parsed),
            Ok(_) => {
                errors.push(FieldError::new(pointer, "names a part of the call"));
                None
            }
            Err(detail) => {
                errors.push(FieldError::new(pointer, detail));
                None
            }
        };
        let token =
            spec.token.as_ref().map(|token| Some((text("/token/at", &token.at)?, token.clone())));
        let mac = spec.hmac.as_ref().map(|mac| Some((text("/hmac/over", &mac.over)?, mac.clone())));
        let wrong = spec.token.as_ref().and_then(|token| check_keys(&token.keys));
        errors.extend(wrong.map(|wrong| FieldError::new("/token/keys", wrong)));
        let empty = spec.when.root().members().next().is_none();
        if empty && spec.token.is_none() && spec.methods.is_none() {
            let detail = "says which calls it answers; left out, no call would become an event";
            errors.push(FieldError::new("/when", detail));
        }
        let answer =
            CallAnswer::compile(&spec.answer, limits).map_err(|found| {
                errors.extend(found.into_iter().map(|error| FieldError {
                    pointer: format!("/answer{}", error.pointer),
                    ..error
                }));
            });
        match (when, answer, token, mac) {
            (Ok(when), Ok(answer), token, mac) if errors.is_empty() => Ok(CallHandshake {
                methods: spec.methods.clone(),
                when,
                token: token.flatten(),
                mac: mac.flatten(),
                verified: spec.verified,
                answer,
            }),
            _ => Err(errors),
        }
    }

    /// Where its token stands, if that is a header or a query parameter.
    #[must_use]
    pub fn token_place(&self) -> Option<&CallText> {
        self.token.as_ref().map(|(at, _)| at)
    }

    /// Whether a call is this handshake.
    pub fn fits(
        &self,
        call: &Call,
        document: &CallDocument,
        steps: &Steps,
    ) -> Result<bool, OutOfSteps> {
        let method = self.methods.as_ref().is_none_or(|methods| takes(methods, &call.method));
        Ok(method && self.when.matches_within(document.document.root(), steps)?)
    }

    /// The answer to a call that fits.
    pub fn answer(
        &self,
        call: &Call,
        document: &CallDocument,
        context: Context<'_>,
    ) -> Result<Result<RenderedAnswer, Invalid>, OutOfSteps> {
        let steps = context.steps;
        let url = call.url.as_str();
        let values = Values { call, document, url, timestamp: "", key: b"", steps };
        let refused = |why| match why {
            Unmet::OutOfSteps => Err(OutOfSteps),
            Unmet::Because(why) => Ok(Err(signature_invalid(why))),
        };
        if let Some((at, token)) = &self.token {
            let equals =
                at.bytes(values).and_then(|given| one_of_secrets(&given, &token.keys, context));
            if let Err(why) = equals {
                return refused(why);
            }
        }
        let Some((over, mac)) = &self.mac else {
            return self.answer.render(&document.document, steps);
        };
        let Some(key) = (context.secret)(&mac.key) else {
            tracing::warn!(secret = mac.key, "a source names a secret that there is not");
            return refused("one of the secrets that the source names is missing".into());
        };
        let made = match over.bytes(values) {
            Ok(message) => {
                let key = hmac::Key::new(mac.algorithm.hmac(), key.reveal().as_bytes());
                hmac::sign(&key, &message)
            }
            Err(why) => return refused(why),
        };
        let made = match mac.encoding {
            Encoding::Hex => hex::encode(made),
            Encoding::Base64 => BASE64_STANDARD.encode(made),
        };
        let mut out = Builder::new();
        out.object().key("hmac").string(&made);
        for (key, value) in document.document.root().members() {
            out.copy_key(key).copy(value);
        }
        out.end();
        self.answer.render(&out.finish(), steps)
    }
}

/// Whether a body begins as JSON does, and not with a tag.
fn looks_like_json(body: &str) -> bool {
    let body = body.trim_start();
    body.starts_with(['{', '[']) && !body.starts_with("{{")
}

/// Whether a method is in a list; `*` is every method.
pub(super) fn takes(methods: &[String], method: &str) -> bool {
    methods.iter().any(|known| known == "*" || known == method)
}

/// The refusal of a call whose sender is not the one that is expected.
pub(super) fn signature_invalid(why: String) -> Invalid {
    Invalid { code: "signature_invalid", ..Invalid::at("", why) }
}
