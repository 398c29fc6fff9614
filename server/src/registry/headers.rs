//! Checks and compiles the header templates and header names of webhooks and profiles.

use antar_template::{Limits, Place, Template};

use crate::config::Config;
use crate::model::{
    FieldError, Headers, Invalid, Signer, is_hops_header, is_of_connection, pointer_token,
};

/// Whether something is being saved, or was saved in the past, maybe under other rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    Saved,
    Loaded,
}

/// Compiles a profile's header templates.
pub(super) fn profile_headers(
    field: &str,
    headers: &Headers,
    config: &Config,
    when: When,
) -> Result<Vec<(String, Template)>, Invalid> {
    let mut errors = Vec::new();
    let compiled = compile_headers(field, headers, &config.templates, when, &mut errors);
    if errors.is_empty() { Ok(compiled) } else { Err(Invalid { code: "template_invalid", errors }) }
}

pub(super) fn compile_headers(
    field: &str,
    headers: &Headers,
    limits: &Limits,
    when: When,
    errors: &mut Vec<FieldError>,
) -> Vec<(String, Template)> {
    let mut compiled = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let pointer = format!("{field}/{}", pointer_token(name));
        if when == When::Loaded && is_of_connection(name) {
            tracing::warn!(
                header = name,
                "a stored header is left out: it belongs to the connection"
            );
            continue;
        }
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
            Err(found) => {
                errors.extend(found.into_iter().map(|e| FieldError::in_template(&pointer, e)))
            }
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

/// Checks the names of the headers that a profile's signers set.
pub(super) fn check_signed_headers(signers: &[Signer]) -> Result<(), Invalid> {
    for (number, signer) in signers.iter().enumerate() {
        if let Signer::Hmac { header, .. } | Signer::Secret { header, .. } = signer {
            check_header_name(header)
                .map_err(|detail| Invalid::at(format!("/signers/{number}/header"), detail))?;
        }
    }
    Ok(())
}

/// Refuses a header that Antar itself sets. Asked at a save only: in what was saved before, Antar's own value
/// takes the place of such a header.
pub(super) fn check_not_own(pointer: String, name: &str) -> Option<FieldError> {
    let detail = "is set by Antar itself, which ends loops with it";
    is_hops_header(name).then(|| FieldError::new(pointer, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_under_earlier_rules_loads_without_the_header() {
        let headers: Headers = [("Upgrade", "h2c"), ("X-Kind", "vip")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let compile = |when| {
            let mut errors = Vec::new();
            let compiled =
                compile_headers("/headers", &headers, &Limits::default(), when, &mut errors);
            let names: Vec<_> = compiled.into_iter().map(|(name, _)| name).collect();
            (names, errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>())
        };
        assert_eq!(compile(When::Loaded), (vec!["X-Kind".to_owned()], vec![]));
        assert_eq!(compile(When::Saved).1, ["/headers/Upgrade"]);
    }
}
