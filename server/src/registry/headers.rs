//! Checks and compiles the header templates and header names of webhooks and profiles.

use antar_template::{Limits, Place, Template, TemplateError};

use crate::config::Config;
use crate::model::{FieldError, Headers, Invalid, is_of_connection};
use crate::pipeline::accept::intake::pointer_token;

/// Compiles a profile's header templates.
pub(super) fn profile_headers(
    field: &str,
    headers: &Headers,
    config: &Config,
) -> Result<Vec<(String, Template)>, Invalid> {
    let mut errors = Vec::new();
    let compiled = compile_headers(field, headers, &config.templates, &mut errors);
    if errors.is_empty() { Ok(compiled) } else { Err(Invalid { code: "template_invalid", errors }) }
}

pub(super) fn compile_headers(
    field: &str,
    headers: &Headers,
    limits: &Limits,
    errors: &mut Vec<FieldError>,
) -> Vec<(String, Template)> {
    let mut compiled = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let pointer = format!("{field}/{}", pointer_token(name));
        if let Err(detail) = check_header_name(name) {
            errors.push(FieldError::new(pointer, detail));
            continue;
        }
        let Some(text) = value.as_str() else {
            errors.push(FieldError::new(pointer, "is a string; put numbers in quotes"));
            continue;
        };
        match Template::compile(text, &Place::Header, limits) {
            Ok(template) if template.uses_attempt() && !template.variables().is_empty() => {
                errors.push(FieldError::new(
                    pointer,
                    "a header that names antar.attempt may name nothing of the event besides \
                     antar.…, because it is made anew for each attempt",
                ));
            }
            Ok(template) if is_content_type(name) && is_variable(&template) => {
                errors.push(FieldError::new(
                    pointer,
                    "must be constant: it decides how the body's values are escaped",
                ));
            }
            Ok(template) => compiled.push((name.clone(), template)),
            Err(found) => errors.extend(found.into_iter().map(|e| template_error(&pointer, e))),
        }
    }
    compiled
}

fn is_content_type(name: &str) -> bool {
    name.eq_ignore_ascii_case("content-type")
}

/// Whether the template has a placeholder.
fn is_variable(template: &Template) -> bool {
    template.source().contains("{{")
}

pub(super) fn check_header_name(name: &str) -> Result<(), String> {
    if is_of_connection(name) {
        return Err("belongs to the connection and can't be set".to_owned());
    }
    match http::HeaderName::try_from(name) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("`{name}` is no header name")),
    }
}

pub(super) fn template_error(pointer: &str, error: TemplateError) -> FieldError {
    FieldError {
        pointer: pointer.to_owned(),
        detail: error.detail,
        line: Some(error.line),
        column: Some(error.column),
        suggestion: error.suggestion,
    }
}
