//! Compiles the settings of a source, and finds slips in them.

use std::borrow::Cow;
use std::sync::Arc;

use antar_template::{ContentType, Limits, Place, Template};

use super::call::Reading;
use super::call_answer::{CallAnswer, CallHandshake};
use super::source::Source;
use super::verify::Verifier;
use crate::model::{
    EventType, FieldError, Incoming, Invalid, Millis, Secret, SourceId, SourceSpec, TenantId,
    Verify,
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
        let methods = match (&spec.methods, &profile.spec.incoming) {
            (Some(methods), _) => methods.clone(),
            (None, Some(Incoming { methods: Some(methods), .. })) => methods.clone(),
            (None, _) => ["POST", "PUT", "PATCH"].map(ToOwned::to_owned).to_vec(),
        };
        let mut errors = Vec::new();
        let named = spec.handshakes.iter().enumerate().filter_map(|(number, handshake)| {
            Some((format!("/handshakes/{number}/methods"), handshake.methods.as_ref()?))
        });
        for (pointer, methods) in named.chain([("/methods".to_owned(), &methods)]) {
            errors.extend(check_methods(methods).map(|detail| FieldError::new(pointer, detail)));
        }
        let verifier = spec.verify.as_ref().map(Verifier::compile);
        let verifier = compiled(verifier, "/verify", &mut errors);
        let handshakes = spec.handshakes.iter().enumerate().filter_map(|(number, handshake)| {
            let handshake = CallHandshake::compile(handshake, limits);
            compiled(Some(handshake), &format!("/handshakes/{number}"), &mut errors)
        });
        let handshakes = handshakes.collect();
        let answer = spec.answer.as_ref().map(|answer| CallAnswer::compile(answer, limits));
        let answer = compiled(answer, "/answer", &mut errors);
        if !errors.is_empty() {
            return Err(Invalid { code: "invalid", errors });
        }
        let secret_parameter = spec.verify.as_ref().and_then(Verify::secret_parameter);
        let reading = Reading {
            body: spec.body.clone().unwrap_or_default(),
            secret_header: spec.verify.as_ref().and_then(Verify::secret_header),
            secret_parameter: secret_parameter.map(ToOwned::to_owned),
        };
        Ok(Source {
            id,
            tenant,
            event_type,
            event_id,
            data,
            split,
            names_element,
            reading,
            methods,
            verifier,
            handshakes,
            answer,
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

/// Why a list of methods can't be used.
fn check_methods(methods: &[String]) -> Option<&'static str> {
    let is_method = |text: &String| {
        let mut bytes = text.bytes();
        text == "*" || (!text.is_empty() && bytes.all(|b| b.is_ascii_uppercase() || b == b'-'))
    };
    if methods.is_empty() {
        return Some("names at least one method");
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
    let mut out = Cow::Borrowed(text);
    for (at, _) in text.match_indices(HEADERS) {
        let before = text[..at].chars().next_back();
        let begins = match before {
            None => !is_template,
            Some(before) => is_template && (before.is_whitespace() || "{(~&=/".contains(before)),
        };
        let is_in_tag = !is_template || text[..at].rfind("{{") > text[..at].rfind("}}");
        if !begins || !is_in_tag {
            continue;
        }
        let start = at + HEADERS.len();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_[]".contains(c);
        let length = text[start..].find(|c| !is_name(c)).unwrap_or(text.len() - start);
        out.to_mut()[start..start + length].make_ascii_lowercase();
    }
    out
}
