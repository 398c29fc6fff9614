//! Compiles the settings of a source, and finds slips in them.

use std::borrow::Cow;
use std::sync::Arc;

use antar_template::{ContentType, Limits, Place, Template};

use super::call::Reading;
use super::call_answer::{CallAnswer, CallHandshake};
use super::call_text::CallText;
use super::source::Source;
use super::verify::Verifier;
use crate::model::{
    EventType, FieldError, Invalid, Millis, Secret, SourceId, SourceSpec, TenantId, Verify,
};
use crate::pipeline::compiled::profile::Profile;

/// What a source is made of besides its settings.
pub struct Around {
    pub id: SourceId,
    pub tenant: TenantId,
    pub secret: Secret,
    pub profile: Arc<Profile>,
    pub now: Millis,
}

/// The members of a call.
const MEMBERS: [&str; 6] = ["method", "path", "query", "headers", "body", "body_base64"];

/// What templates see of an element of `split`.
const ELEMENT: &str = "element";

impl Source {
    /// # Errors
    /// What is wrong in the settings.
    pub fn compile(spec: SourceSpec, around: Around, limits: &Limits) -> Result<Source, Invalid> {
        let Around { id, tenant, secret, profile, now } = around;
        if spec.name.is_empty() || spec.name.len() > 128 || spec.name.chars().any(char::is_control)
        {
            let detail = "has 1 to 128 characters, none of them a control character";
            return Err(Invalid::at("/name", detail));
        }
        let event_type = template("/event_type", &spec.event_type, limits)?;
        if !spec.event_type.contains("{{") {
            let checked = spec.event_type.parse::<EventType>();
            checked.map_err(|detail| Invalid::at("/event_type", detail))?;
        }
        let event_id = spec.event_id.as_ref().map(|id| template("/event_id", id, limits));
        let event_id = event_id.transpose()?;
        let path = |path: &Option<String>| {
            path.as_deref().map(|path| with_header_names(path, false).into_owned())
        };
        let (data, split) = (path(&spec.data), path(&spec.split));
        let names_element = |template: &Arc<Template>| {
            let variables = template.variables();
            variables.iter().any(|variable| variable.steps.first().is_some_and(|s| s == ELEMENT))
        };
        let names_element = split.is_some()
            && (names_element(&event_type) || event_id.as_ref().is_some_and(names_element));
        let mut errors = Vec::new();
        let of_handshakes = spec.handshakes.iter().enumerate().filter_map(|(number, handshake)| {
            Some((format!("/handshakes/{number}/methods"), handshake.methods.as_ref()?))
        });
        let own = spec.methods.as_ref().map(|methods| ("/methods".to_owned(), methods));
        for (pointer, methods) in of_handshakes.chain(own) {
            errors.extend(check_methods(methods).map(|detail| FieldError::new(pointer, detail)));
        }
        errors.extend(check_counts(&spec));
        let verifier = spec.verify.as_ref().map(Verifier::compile);
        let verifier = compiled(verifier, "/verify", &mut errors);
        let handshakes = spec.handshakes.iter().enumerate().filter_map(|(number, handshake)| {
            let handshake = CallHandshake::compile(handshake, limits);
            compiled(Some(handshake), &format!("/handshakes/{number}"), &mut errors)
        });
        let handshakes: Vec<CallHandshake> = handshakes.collect();
        let answer = spec.answer.as_ref().map(|answer| CallAnswer::compile(answer, limits));
        let answer = compiled(answer, "/answer", &mut errors);
        if !errors.is_empty() {
            return Err(Invalid { code: "invalid", errors });
        }
        let verify = spec.verify.as_ref();
        let tokens = || handshakes.iter().filter_map(CallHandshake::token_place);
        let body = spec.body.clone().unwrap_or_default();
        let secret_headers = tokens().filter_map(CallText::only_header).map(ToOwned::to_owned);
        let secret_parameters = tokens().filter_map(CallText::only_parameter);
        let secret_parameters = secret_parameters.chain(verify.and_then(Verify::secret_parameter));
        let reading = Reading {
            read_as: body.read_as,
            json_fields: body.json_fields.into_iter().collect(),
            secret_headers: secret_headers.chain(verify.and_then(Verify::secret_header)).collect(),
            secret_parameters: secret_parameters.map(ToOwned::to_owned).collect(),
        };
        Ok(Source {
            id,
            tenant,
            event_type,
            event_id,
            data,
            split,
            names_element,
            reading: Arc::new(reading),
            verifier: verifier.map(Arc::new),
            handshakes: handshakes.into(),
            answer: answer.map(Arc::new),
            secret,
            profile,
            created_at: now,
            updated_at: now,
            spec,
        })
    }

    /// Likely slips in a source that works.
    #[must_use]
    pub fn warnings(&self) -> Vec<FieldError> {
        let spec = &self.spec;
        let mut warnings = Vec::new();
        let templates =
            [("/event_type", Some(&self.event_type)), ("/event_id", self.event_id.as_ref())];
        for (pointer, template) in templates {
            for variable in template.iter().flat_map(|template| template.variables()) {
                let first = variable.steps.first().map_or("", String::as_str);
                let is_element = first == ELEMENT && spec.split.is_some();
                if !variable.relative && !is_element {
                    warnings.extend(stranger(pointer, &variable.path, first));
                }
                if self.names_element && first == "body" {
                    let detail = "names the `body` beside `element`: it holds all elements, and is not looked at for each";
                    warnings.push(FieldError::new(pointer, detail));
                }
            }
        }
        for (pointer, path) in [("/data", &spec.data), ("/split", &spec.split)] {
            let first = path.as_deref().and_then(|path| path.split('.').next());
            if let (Some(path), Some(first)) = (path, first) {
                warnings.extend(stranger(pointer, path, first));
            }
        }
        let signature = spec.verify.as_ref().and_then(Verify::signature);
        if let Some(check) = signature {
            let covers_time = check.over.contains("{timestamp}")
                || check.timestamp.as_ref().is_some_and(|text| check.over.contains(text));
            let has_time = check.timestamp.is_some()
                || check.fields.as_ref().is_some_and(|fields| fields.timestamp.is_some());
            if has_time && !covers_time {
                let detail =
                    "leaves out the time: anybody can write another one beside a signature";
                warnings.push(FieldError::new("/verify/over", detail));
            }
            if !check.over.contains("{body}") && !check.over.contains("{form}") {
                let detail = "leaves out the body: whoever has seen one call can send another body with its signature";
                warnings.push(FieldError::new("/verify/over", detail));
            }
        }
        if matches!(&spec.verify, Some(Verify::Hash(check)) if !check.over.ends_with("{key}")) {
            let detail = "does not end in {key}: with most digests, whoever has seen one call can append to what is signed";
            warnings.push(FieldError::new("/verify/over", detail));
        }
        if spec.data.is_some() && spec.split.is_some() {
            let detail = "is not looked at beside `split`: each element is the data of its event";
            warnings.push(FieldError::new("/data", detail));
        }
        warnings
    }
}

/// What was compiled; its errors go to `errors`.
fn compiled<T>(
    result: Option<Result<T, Vec<FieldError>>>,
    part: &str,
    errors: &mut Vec<FieldError>,
) -> Option<T> {
    match result? {
        Ok(compiled) => Some(compiled),
        Err(found) => {
            errors.extend(found.into_iter().map(|error| error.below(part)));
            None
        }
    }
}

fn template(pointer: &str, text: &str, limits: &Limits) -> Result<Arc<Template>, Invalid> {
    let refuse = |errors| Invalid { code: "template_invalid", errors };
    let (place, text) = (Place::Body(ContentType::Text), with_header_names(text, true));
    let template = Template::compile(&text, &place, limits).map_err(|errors| {
        let errors = errors.into_iter().map(|error| FieldError::in_template(pointer, error));
        refuse(errors.collect())
    })?;
    if template.secrets().is_empty() {
        return Ok(Arc::new(template));
    }
    let detail = "an event's type and id can't be made of a secret";
    Err(refuse(vec![FieldError::new(pointer, detail)]))
}

/// Lists that are too long, and a MAC that would give the signatures of the source away.
fn check_counts(spec: &SourceSpec) -> Vec<FieldError> {
    const HANDSHAKES_MAX: usize = 16;
    const JSON_FIELDS_MAX: usize = 100;
    let mut errors = Vec::new();
    if spec.handshakes.len() > HANDSHAKES_MAX {
        let detail = format!("has {HANDSHAKES_MAX} entries at most");
        errors.push(FieldError::new("/handshakes", detail));
    }
    if spec.body.as_ref().is_some_and(|body| body.json_fields.len() > JSON_FIELDS_MAX) {
        let detail = format!("has {JSON_FIELDS_MAX} entries at most");
        errors.push(FieldError::new("/body/json_fields", detail));
    }
    let keys = spec.verify.as_ref().map_or(&[][..], Verify::keys);
    for (number, handshake) in spec.handshakes.iter().enumerate() {
        let mac = handshake.hmac.as_ref().filter(|mac| keys.contains(&mac.key));
        if mac.is_some() && !handshake.verified {
            let detail = "is `true` where `hmac` uses a key of `verify`: else anybody gets signatures of anything";
            errors.push(FieldError::new(format!("/handshakes/{number}/verified"), detail));
        }
    }
    errors
}

/// Why a list of methods can't be used.
pub fn check_methods(methods: &[String]) -> Option<&'static str> {
    let is_method = |text: &String| {
        let mut bytes = text.bytes();
        text == "*" || (!text.is_empty() && bytes.all(|b| b.is_ascii_uppercase() || b == b'-'))
    };
    const METHODS_MAX: usize = 16;
    if methods.is_empty() || methods.len() > METHODS_MAX {
        return Some("names 1 to 16 methods");
    }
    let all = methods.iter().all(is_method);
    (!all).then_some("are methods in upper case, or `*` for every method")
}

/// A warning about a path that begins with no member of a call.
fn stranger(pointer: &str, path: &str, first: &str) -> Option<FieldError> {
    if MEMBERS.contains(&first) {
        return None;
    }
    let suggestion =
        antar_template::nearest(first, MEMBERS).map(|near| path.replacen(first, near, 1));
    let hint = suggestion.as_ref();
    let hint = hint.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    let detail = format!("no call has `{path}`: it has {}{hint}", MEMBERS.join(", "));
    Some(FieldError { suggestion, ..FieldError::new(pointer, detail) })
}

/// A path or template of a source, with names of headers in lower case, as a call has them: they have no case
/// (RFC 9110 §5.1). Has the length of `text`.
fn with_header_names(text: &str, is_template: bool) -> Cow<'_, str> {
    const HEADERS: &str = "headers.";
    if !text.contains(HEADERS) {
        return Cow::Borrowed(text);
    }
    let mut out = text.to_owned();
    let mut lower = |from: usize, tag: &str| {
        for (at, _) in tag.match_indices(HEADERS) {
            let before = tag[..at].chars().next_back();
            let begins = |c: char| c.is_whitespace() || "{(~&=/".contains(c);
            if !before.is_none_or(begins) {
                continue;
            }
            let start = at + HEADERS.len();
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-_[]".contains(c);
            let length = tag[start..].find(|c| !is_name(c)).unwrap_or(tag.len() - start);
            out[from + start..from + start + length].make_ascii_lowercase();
        }
    };
    if !is_template {
        if text.starts_with(HEADERS) {
            lower(0, text);
        }
        return Cow::Owned(out);
    }
    let mut from = 0;
    for (number, part) in text.split("{{").enumerate() {
        if number > 0 {
            lower(from, part.split("}}").next().unwrap_or(part));
        }
        from += part.len() + 2;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_headers_have_no_case() {
        let template = |text| with_header_names(text, true).into_owned();
        assert_eq!(
            template("X-A {{headers.X-A}} {{upper headers.[X-B]}}{{body.headers.X}} headers.X-C"),
            "X-A {{headers.x-a}} {{upper headers.[x-b]}}{{body.headers.X}} headers.X-C"
        );
        assert_eq!(template("{{größe}}{{headers.Ä-X}}"), "{{größe}}{{headers.Ä-X}}");
        assert_eq!(with_header_names("headers.X-Data", false), "headers.x-data");
        assert_eq!(with_header_names("body.headers.X", false), "body.headers.X");
        assert_eq!(with_header_names("headersX", false), "headersX");
    }
}
