//! Settings that are refused today and may have been saved before: they go on, with a warning, until they are
//! changed.

use antar_rules::Pattern;
use antar_template::Template;

use crate::model::{FieldError, WebhookSpec};
use crate::pipeline::attempt::prepare::has_fragment;
use crate::pipeline::compiled::success_pattern::success_pattern;
use crate::registry::compile::{AtSave, Check};

impl Check<'_> {
    /// What was saved under earlier rules goes on as it is.
    pub(in crate::registry) fn success(&mut self, spec: &WebhookSpec) -> Option<Pattern> {
        match success_pattern(spec.success.root()) {
            Ok(meant) => self.pattern("/success", &meant),
            Err(_) if self.stays(spec, |spec| &spec.success) => {
                self.pattern("/success", &spec.success)
            }
            Err(errors) => {
                for error in errors {
                    self.push("rule_invalid", error.below("/success"));
                }
                None
            }
        }
    }

    /// Whether a setting is stored already, and maybe checked under earlier rules.
    pub(in crate::registry) fn stays<T: PartialEq>(
        &self,
        spec: &WebhookSpec,
        of: impl Fn(&WebhookSpec) -> &T,
    ) -> bool {
        let Some(AtSave { before, .. }) = self.around.at_save else { return true };
        before.is_some_and(|before| of(before) == of(spec))
    }

    /// What follows a `#` is never sent (RFC 9110 §7.1).
    pub(in crate::registry) fn fragment(&mut self, spec: &WebhookSpec, url: &Template) {
        if has_fragment(&spec.url) {
            self.error("/url", FRAGMENT);
        }
        // Elsewhere in a URL a secret is encoded.
        let is_whole = spec.url.trim().starts_with("{{") && spec.url.trim().ends_with("}}");
        for name in url.secrets().into_iter().filter(|_| is_whole) {
            let secret = self.around.tenant.secret(name);
            if secret.is_some_and(|secret| secret.reveal().contains('#')) {
                let detail = format!(
                    "the secret `{name}` has a `#`, and what follows is never sent; write `%23` in the secret"
                );
                self.error("/url", detail);
            }
        }
    }
}

const FRAGMENT: &str = "has a `#`, and what follows is never sent; write `%23` where it is meant";

/// What is refused today, and goes on because it was saved under earlier rules.
pub(in crate::registry) fn settings_of_earlier_rules(spec: &WebhookSpec) -> Vec<FieldError> {
    let success = success_pattern(spec.success.root()).err().unwrap_or_default();
    let mut warnings: Vec<_> = success.into_iter().map(|error| error.below("/success")).collect();
    let retry = spec.retry.errors().into_iter();
    warnings.extend(retry.map(|(at, detail)| FieldError::new(format!("/retry{at}"), detail)));
    if has_fragment(&spec.url) {
        warnings.push(FieldError::new("/url", FRAGMENT));
    }
    warnings
}
