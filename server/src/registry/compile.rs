//! Compiles the settings of a webhook into a plan. Checks every setting and reports all errors together; a
//! plan that passes can't fail later because of its settings.

use antar_json::Document;
use antar_rules::Pattern;
use antar_template::{ContentType, Place, Template, Unresolved};

use super::error::some_of;
use super::headers::{When, check_header_name, check_not_own, compile_headers};
use super::secrets::{SHORT, is_short};
use super::sources::home_path;
use super::template_paths::{Known, templates};
use crate::config::Config;
use crate::model::{
    FieldError, Headers, Invalid, Method, PluginName, Retry, SecretName, Signer, WebhookSpec,
    pointer_token,
};
use crate::pipeline::attempt::transform::secrets_of;
use crate::pipeline::client::address::AddressPolicy;
use crate::pipeline::compiled::profile::Profile;
use crate::pipeline::compiled::subscription::Subscription;
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::{FirstUrl, Plan, estimated_bytes};

/// Context that a webhook is checked against.
pub(super) struct Surroundings<'a> {
    pub(super) config: &'a Config,
    pub(super) policy: &'a AddressPolicy,
    pub(super) profile: &'a Profile,
    pub(super) tenant: &'a Tenant,
    /// None for a stored webhook: changes around it since (limits, permitted addresses, newer versions of
    /// plugins, examples of the catalog) are no reason to refuse it, because an attempt checks all of that
    /// again.
    pub(super) at_save: Option<AtSave<'a>>,
}

/// What settings are held against when they are saved.
#[derive(Clone, Copy)]
pub(super) struct AtSave<'a> {
    /// What the catalog knows of the events that the webhook accepts.
    pub(super) known: &'a Known,
    /// The settings that they replace. What has passed its limit there may stay, but not grow.
    pub(super) before: Option<&'a WebhookSpec>,
}

/// Checks and compiles. The error lists everything that is wrong.
pub(super) fn compile(spec: &WebhookSpec, around: &Surroundings<'_>) -> Result<Plan, Invalid> {
    metrics::counter!("antar_webhooks_compiled_total").increment(1);
    let mut check = Check { around, errors: Vec::new(), code: None };
    check.name(&spec.name);
    if spec.event_types.is_empty() {
        check.error("/event_types", "name at least one type; `*` is every type");
    }
    check.counts(spec);
    let rule = check.pattern("/rule", &spec.rule);
    let success = check.success(spec);
    let facets = check.facets(spec);
    if around.at_save.is_some() {
        check.plugins(spec);
    }
    let url = check.url(spec);
    // Without a custom payload, headers and body are unused and may be unfinished.
    let headers = if spec.custom_payload { check.headers(&spec.headers) } else { Vec::new() };
    let body = spec.body.as_ref().filter(|_| spec.custom_payload).and_then(|body| {
        let place = Place::Body(content_type_of(spec, body));
        check.template("/body", body, &place)
    });
    let signers = spec.signers.clone().unwrap_or_else(|| around.profile.spec.signers.clone());
    check.signers(&signers, spec.signers.is_some());
    let retry = check.retry(spec);
    let timeout_ms = check.timeout_ms(spec);
    check.limits(spec);
    let (delay_ms, order, dedupe) = check.order(spec);
    let unresolved = spec.unresolved.or(around.profile.spec.unresolved).unwrap_or(Unresolved::Omit);
    if let Some(url) = &url {
        check.paths(&templates(url, &headers, body.as_ref()), unresolved);
    }
    let (Some(rule), Some(success), Some(url), None) = (rule, success, url, check.code) else {
        return Err(Invalid { code: check.code.unwrap_or("invalid"), errors: check.errors });
    };
    let (method, content_type) = match spec.custom_payload {
        true => (spec.method, body_type(spec)),
        false => (Method::default(), "application/json"),
    };
    let goes_home = home_path(&spec.url, around.config).is_some();
    Ok(Plan {
        subscription: Subscription::new(spec.event_types.clone(), facets, rule),
        plugins: spec.plugins.clone(),
        method,
        url,
        first_url: FirstUrl::default(),
        goes_home,
        headers,
        content_type,
        body,
        unresolved,
        signers,
        success: (!is_empty(&spec.success)).then_some(success),
        retry,
        timeout_ms,
        in_flight_max: spec
            .limits
            .in_flight_max
            .map_or(around.config.delivery.in_flight_per_webhook_max, |max| {
                usize::try_from(max).unwrap_or(usize::MAX)
            }),
        https_only: around.profile.spec.https_only,
        delay_ms,
        order,
        dedupe,
        bytes: estimated_bytes(spec),
    })
}

/// Line and column, counted from 1, of the tag that names a secret.
fn place_of_secret(source: &str, name: &str) -> (usize, usize) {
    let path = format!("antar.secret.{name}");
    let named = source.match_indices(&path).find(|(at, _)| {
        let next = source[at + path.len()..].chars().next();
        !next.is_some_and(|c| c.is_alphanumeric() || "_-.".contains(c))
    });
    let before = &source[..named.map_or(0, |(at, _)| at)];
    let before = &before[..before.rfind("{{").unwrap_or(before.len())];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn is_empty(pattern: &Document) -> bool {
    pattern.root().members().next().is_none()
}

fn content_type_of(spec: &WebhookSpec, body: &str) -> ContentType {
    let header = spec.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    ContentType::of(header.and_then(|(_, value)| value.as_str()), body)
}

/// The `Content-Type` of a body when no header sets one.
fn body_type(spec: &WebhookSpec) -> &'static str {
    let Some(body) = &spec.body else { return "application/json" };
    match content_type_of(spec, body) {
        ContentType::Json => "application/json",
        ContentType::Form => "application/x-www-form-urlencoded",
        ContentType::Xml => "application/xml; charset=utf-8",
        ContentType::Html => "text/html; charset=utf-8",
        ContentType::Text | ContentType::Unknown => "text/plain; charset=utf-8",
    }
}

/// Collects errors. `code` is that of the first one.
pub(super) struct Check<'a> {
    pub(super) around: &'a Surroundings<'a>,
    errors: Vec<FieldError>,
    code: Option<&'static str>,
}

impl Check<'_> {
    pub(super) fn push(&mut self, code: &'static str, error: FieldError) {
        self.code.get_or_insert(code);
        self.errors.push(error);
    }

    pub(super) fn error(&mut self, pointer: &str, detail: impl Into<String>) {
        self.push("invalid", FieldError::new(pointer, detail));
    }

    fn name(&mut self, name: &str) {
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            self.error("/name", "has 1 to 128 characters, none of them a control character");
        }
    }

    pub(super) fn pattern(&mut self, pointer: &str, pattern: &Document) -> Option<Pattern> {
        match Pattern::parse(pattern.root()) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let pointer = format!("{pointer}{}", error.pointer);
                self.push("rule_invalid", FieldError::new(pointer, error.detail));
                None
            }
        }
    }

    fn facets(
        &mut self,
        spec: &WebhookSpec,
    ) -> Vec<(crate::model::FacetSpec, crate::model::FacetFilter)> {
        let known = &self.around.profile.spec.facets;
        let mut found = Vec::with_capacity(spec.facets.len());
        for (name, filter) in &spec.facets {
            match known.iter().find(|facet| facet.name == *name) {
                Some(facet) => found.push((facet.clone(), filter.clone())),
                None => {
                    let names: Vec<_> = known.iter().map(|facet| facet.name.as_str()).collect();
                    let detail = format!(
                        "the profile `{}` has no such facet; it has {names:?}",
                        self.around.profile.spec.name
                    );
                    self.error(&format!("/facets/{}", pointer_token(name)), detail);
                }
            }
        }
        found
    }

    fn plugins(&mut self, spec: &WebhookSpec) {
        for (number, used) in spec.plugins.iter().enumerate() {
            for error in check_plugin(self.around.tenant, &used.plugin, &used.config) {
                let pointer = format!("/plugins/{number}{}", error.pointer);
                self.push("invalid", FieldError { pointer, ..error });
            }
        }
    }

    /// Limits of templates. One that is stored was within the limits of its time.
    fn template_limits(&self) -> antar_template::Limits {
        let limits = self.around.config.templates.clone();
        match self.around.at_save {
            Some(_) => limits,
            None => antar_template::Limits {
                source_bytes_max: usize::MAX,
                tags_max: usize::MAX,
                ..limits
            },
        }
    }

    pub(super) fn template(
        &mut self,
        pointer: &str,
        text: &str,
        place: &Place,
    ) -> Option<Template> {
        match Template::compile(text, place, &self.template_limits()) {
            Ok(template) => {
                self.secrets_exist(pointer, &template);
                Some(template)
            }
            Err(errors) => {
                for error in errors {
                    self.push("template_invalid", FieldError::in_template(pointer, error));
                }
                None
            }
        }
    }

    fn secrets_exist(&mut self, pointer: &str, template: &Template) {
        let names: Vec<String> = template.secrets().into_iter().map(Into::into).collect();
        for name in names {
            let Some(FieldError { detail, suggestion, .. }) = self.missing_secret(pointer, &name)
            else {
                continue;
            };
            let (line, column) = place_of_secret(template.source(), &name);
            let (line, column) = (Some(line), Some(column));
            let pointer = pointer.to_owned();
            let error = FieldError { pointer, detail, line, column, suggestion };
            self.push("template_invalid", error);
        }
    }

    fn secret_exists(&mut self, pointer: &str, name: &str) {
        if let Some(error) = self.missing_secret(pointer, name) {
            self.push("invalid", error);
        }
    }

    fn missing_secret(&self, pointer: &str, name: &str) -> Option<FieldError> {
        if self.around.tenant.secret(name).is_some() {
            return None;
        }
        let names: Vec<SecretName> =
            self.around.tenant.read(|state| state.secrets.keys().cloned().collect());
        let names = names.iter().map(SecretName::as_str);
        let shown = some_of(names.clone());
        let detail = format!("there is no secret `{name}`; put it first (there are {shown})");
        let suggestion = antar_template::nearest(name, names).map(ToOwned::to_owned);
        Some(FieldError { suggestion, ..FieldError::new(pointer, detail) })
    }

    fn url(&mut self, spec: &WebhookSpec) -> Option<Template> {
        for (number, host) in spec.hosts_allowed.iter().enumerate() {
            let known = url::Url::parse(&format!("https://{host}/")).ok();
            if known.as_ref().and_then(url::Url::host_str) != Some(host.as_str()) {
                let detail =
                    "is a host without scheme and port, in lower case, such as eu.crm.example";
                self.error(&format!("/hosts_allowed/{number}"), detail);
            }
        }
        let place = Place::Url { hosts_allowed: spec.hosts_allowed.clone() };
        let template = self.template("/url", &spec.url, &place)?;
        let dev = self.around.config.server.dev;
        if self.around.at_save.is_none() {
            return Some(template);
        }
        if !self.stays(spec, |spec| &spec.url) {
            self.fragment(spec, &template);
        }
        let plain = spec.url.get(..7).is_some_and(|s| s.eq_ignore_ascii_case("http://"));
        if plain && self.around.profile.spec.https_only && !dev {
            self.error("/url", "must begin with https://; this profile sends over HTTPS only");
        }
        let text = &spec.url;
        let authority = text.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        // An IP address as host can be checked now; a name is checked whenever it is resolved.
        if !authority.contains("{{") {
            match url::Url::parse(&format!("http://{authority}/")) {
                Ok(url) => {
                    if !url.username().is_empty() || url.password().is_some() {
                        self.error(
                            "/url",
                            "must not hold a user name or password; use the signer `basic`",
                        );
                    }
                    let refused = self.around.policy.check_host(url.host_str().unwrap_or_default());
                    if let Err(refused) = refused {
                        self.push("address_refused", FieldError::new("/url", refused.to_string()));
                    }
                }
                Err(_) if text.starts_with("{{") => {}
                Err(error) => self.error("/url", format!("is no URL: {error}")),
            }
        }
        Some(template)
    }

    fn headers(&mut self, headers: &Headers) -> Vec<(String, Template)> {
        if self.around.at_save.is_some() {
            let own = |name: &String| check_not_own(format!("/headers/{name}"), name);
            headers.keys().filter_map(own).for_each(|error| self.push("invalid", error));
        }
        let mut errors = Vec::new();
        let when = if self.around.at_save.is_some() { When::Saved } else { When::Loaded };
        let limits = self.template_limits();
        let compiled = compile_headers("/headers", headers, &limits, when, &mut errors);
        for error in errors {
            self.push("template_invalid", error);
        }
        for (name, template) in &compiled {
            self.secrets_exist(&format!("/headers/{}", pointer_token(name)), template);
        }
        compiled
    }

    fn signers(&mut self, signers: &[Signer], own: bool) {
        for (number, signer) in signers.iter().enumerate() {
            let pointer = format!("/signers/{number}");
            // What was saved under earlier rules still loads; its header is left out when it is sent.
            if let Signer::Hmac { header, .. } | Signer::Secret { header, .. } = signer
                && self.around.at_save.is_some()
                && let Err(detail) = check_header_name(header)
            {
                self.error(&format!("{pointer}/header"), detail);
            }
            if let Signer::Hmac { header, .. } | Signer::Secret { header, .. } = signer
                && self.around.at_save.is_some()
                && let Some(error) = check_not_own(format!("{pointer}/header"), header)
            {
                self.push("invalid", error);
            }
            if let Signer::Hmac { over, .. } = signer {
                for placeholder in placeholders(over) {
                    if !["{body}", "{timestamp}", "{id}", "{delivery_id}"].contains(&placeholder) {
                        let detail = format!(
                            "{placeholder} is none of {{body}}, {{timestamp}}, {{id}}, {{delivery_id}}"
                        );
                        self.error(&format!("{pointer}/over"), detail);
                    }
                }
            }
            if own && signer.key() != "main" {
                self.secret_exists(&format!("{pointer}/key"), signer.key());
            }
        }
    }

    fn retry(&mut self, spec: &WebhookSpec) -> Retry {
        let stays = self.stays(spec, |spec| &spec.retry);
        for (pointer, detail) in spec.retry.errors().into_iter().filter(|_| !stays) {
            self.error(&format!("/retry{pointer}"), detail);
        }
        spec.retry.over(&self.around.profile.retry)
    }

    fn timeout_ms(&mut self, spec: &WebhookSpec) -> u64 {
        let config = &self.around.config.delivery;
        let chosen = spec.timeout_ms.or(self.around.profile.spec.timeout_ms);
        let timeout_ms = chosen.unwrap_or(config.timeout_ms);
        let max = config.timeout_ms_max;
        if self.around.at_save.is_none() {
            return timeout_ms.min(max);
        }
        if timeout_ms == 0 || timeout_ms > max {
            self.error("/timeout_ms", format!("is from 1 to {max} (delivery.timeout_ms_max)"));
        }
        timeout_ms
    }

    /// Checks the paths that templates name against the catalog.
    fn paths(&mut self, templates: &[(String, &Template)], unresolved: Unresolved) {
        let Some(AtSave { known, .. }) = self.around.at_save else { return };
        let mut errors = known.nested(templates);
        if unresolved == Unresolved::Fail {
            errors.extend(known.strangers(templates));
        }
        for error in errors {
            self.push("template_invalid", error);
        }
    }
}

/// Errors in the use of a plugin, with pointers `/plugin` and below `/config`.
pub(super) fn check_plugin(tenant: &Tenant, name: &str, config: &Document) -> Vec<FieldError> {
    let Some(plugin) = tenant.plugin(name) else {
        let names: Vec<PluginName> = tenant.read(|state| state.plugins.keys().cloned().collect());
        let shown = some_of(names.iter().map(PluginName::as_str));
        let detail = format!("there is no plugin `{name}`; upload it first (there are {shown})");
        return vec![FieldError::new("/plugin", detail)];
    };
    let wrong = |name: &String| {
        let detail = match tenant.secret(name) {
            None => format!("there is no secret `{name}`; put it first"),
            Some(secret) if is_short(&secret) => format!("the secret `{name}` {SHORT}"),
            Some(_) => return None,
        };
        Some(FieldError::new("/config", detail))
    };
    let named = secrets_of(config.root());
    let mut errors: Vec<FieldError> = named.iter().filter_map(wrong).collect();
    // With a secret in the config, the schema would validate the placeholder instead of the secret.
    if named.is_empty() {
        let found = plugin.config_errors(&config.root().to_serde());
        errors.extend(
            found.into_iter().map(|e| FieldError::new(format!("/config{}", e.pointer), e.detail)),
        );
    }
    errors
}

/// `{…}` in a signer's `over`.
fn placeholders(over: &str) -> impl Iterator<Item = &str> {
    over.match_indices('{').filter_map(|(at, _)| {
        let end = over[at..].find('}')?;
        Some(&over[at..=at + end])
    })
}
