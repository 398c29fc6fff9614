//! Transform stage: runs the webhook's plugins in order, each in a fresh instance.

use antar_json::{Builder, Document, Value};

use crate::model::{Event, OnError, PluginUse, Secret, is_of_connection, reason};
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;
use crate::plugin::{Call, CallError, CallReport, Host, Outcome, Place};

/// Result of running a webhook's plugins on an event.
#[derive(Clone, Debug)]
pub struct Transformed {
    /// None: unchanged, as posted.
    pub data: Option<Document>,
    pub headers: Vec<(String, String)>,
    /// Secrets filled into plugin configs, which may now appear in the data or headers.
    pub secrets: Vec<(String, Secret)>,
}

/// How the stage ended.
#[derive(Clone, Debug)]
pub enum TransformEnd {
    Go(Transformed),
    /// A plugin dropped the event; the delivery ends.
    Drop(String),
    /// Counts as an attempt and is retried by the schedule.
    Retry(String),
    /// The delivery ends as failed.
    Fail(String),
    /// A plugin is paused or being recompiled, or the server has no room for the call. The delivery waits, and
    /// no attempt is counted.
    Hold {
        /// A code of [`crate::model::reason`].
        why: &'static str,
        reason: String,
        retry_in_ms: u64,
    },
}

/// One plugin call, reported for previews.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    pub plugin: &'a str,
    pub before: Value<'a>,
    /// An error if the plugin was not called: it, or a secret of its config, does not exist.
    pub report: Result<&'a CallReport, &'a CallError>,
}

/// Refuses what a webhook may not set either.
fn without_connection_headers(outcome: Outcome) -> Result<Outcome, CallError> {
    if let Outcome::Replace(replacement) = &outcome
        && let Some((name, _)) = replacement.headers.iter().find(|(name, _)| is_of_connection(name))
    {
        let what = format!("the header {name} belongs to the connection and can't be set");
        return Err(CallError::BadOutput(what));
    }
    Ok(outcome)
}

/// Runs all plugins of `webhook` on `event`. `seen` is called with every step.
pub async fn transform(
    host: &Host,
    tenant: &Tenant,
    webhook: &Webhook,
    event: &Event,
    mut seen: impl FnMut(Step<'_>),
) -> TransformEnd {
    let timestamp = event.timestamp.to_string();
    let mut now = Transformed { data: None, headers: Vec::new(), secrets: Vec::new() };
    for used in &webhook.plan.plugins {
        for name in secrets_of(used.config.root()) {
            if !now.secrets.iter().any(|(known, _)| *known == name) {
                now.secrets.extend(tenant.secret(&name).map(|value| (name, value)));
            }
        }
        let secrets_max = host.limits().config_secrets_max;
        if now.secrets.len() > secrets_max {
            let why = format!(
                "the configs of the plugins name more than {secrets_max} secrets \
                 (plugins.config_secrets_max)"
            );
            return TransformEnd::Retry(named(used, &why));
        }
        let before = now.data.clone();
        let data = before.as_ref().map_or_else(|| event.data(), Document::root);
        let call = PluginInput { event, timestamp: &timestamp, data, place: Place::Webhook };
        let report = call_plugin(host, tenant, &used.plugin, &used.config, call).await;
        let report = report.map(|mut report| {
            report.result = report.result.and_then(without_connection_headers);
            report
        });
        seen(Step { plugin: &used.plugin, before: data, report: report.as_ref() });
        match report.and_then(|report| report.result) {
            Ok(Outcome::Pass) => {}
            Ok(Outcome::Replace(replacement)) => {
                now.data = Some(replacement.data);
                now.headers.extend(replacement.headers);
            }
            Ok(Outcome::Drop(reason)) => return TransformEnd::Drop(named(used, &reason)),
            // Not expected: the host already rejects a split at a webhook.
            Ok(Outcome::Split(_)) => return TransformEnd::Fail(named(used, "split at a webhook")),
            Err(CallError::Fail(reason)) => return TransformEnd::Fail(named(used, &reason)),
            Err(error) => {
                let text = named(used, &error.to_string());
                if let Some(retry_in_ms) = error.retry_in_ms() {
                    let is_busy = matches!(error, CallError::Busy { .. });
                    let why = if is_busy { reason::SERVER_BUSY } else { reason::PLUGIN_PAUSED };
                    return TransformEnd::Hold { why, reason: text, retry_in_ms };
                }
                match used.on_error {
                    OnError::Skip => {}
                    OnError::Retry if let CallError::Paused { retry_in_ms, .. } = error => {
                        let why = reason::PLUGIN_PAUSED;
                        return TransformEnd::Hold { why, reason: text, retry_in_ms };
                    }
                    OnError::Retry => return TransformEnd::Retry(text),
                    OnError::Drop => return TransformEnd::Drop(text),
                    OnError::Fail => return TransformEnd::Fail(text),
                }
            }
        }
    }
    TransformEnd::Go(now)
}

fn named(used: &PluginUse, reason: &str) -> String {
    format!("{}: {reason}", used.plugin)
}

/// Input of a plugin call.
#[derive(Clone, Copy)]
pub struct PluginInput<'a> {
    pub event: &'a Event,
    pub timestamp: &'a str,
    pub data: Value<'a>,
    pub place: Place,
}

/// Calls a tenant's plugin by name, with the secrets of its config filled in.
pub async fn call_plugin(
    host: &Host,
    tenant: &Tenant,
    name: &str,
    config: &Document,
    input: PluginInput<'_>,
) -> Result<CallReport, CallError> {
    let Some(plugin) = tenant.plugin(name) else {
        return Err(CallError::Retry(
            "there is no plugin of this name any more; upload it, or take it out".into(),
        ));
    };
    let bytes_max = host.limits().config_bytes_max;
    let filled = fill_secrets(config, tenant, bytes_max).map_err(CallError::Retry)?;
    let event = input.event;
    let call = Call {
        id: event.key.id.as_str(),
        event_type: event.event_type.as_str(),
        tenant: event.key.tenant.as_str(),
        timestamp: input.timestamp,
        attributes: &event.attributes,
        data: input.data.raw(),
        config: filled.as_ref().unwrap_or(config).text(),
        place: input.place,
    };
    Ok(host.call(&plugin, call).await)
}

/// Replaces each `{"$secret": "NAME"}` by its value; none if the config names no secret.
fn fill_secrets(
    config: &Document,
    tenant: &Tenant,
    bytes_max: usize,
) -> Result<Option<Document>, String> {
    if !config.text().contains("\"$secret\"") {
        return Ok(None);
    }
    let mut out = Builder::new();
    let mut left = bytes_max.saturating_sub(config.text().len());
    let mut secret = |name: &str| {
        let secret = tenant.secret(name).ok_or_else(|| format!("there is no secret `{name}`"))?;
        left = left.checked_sub(secret.reveal().len()).ok_or_else(|| {
            format!(
                "with its secrets filled in, the config has more than {bytes_max} bytes \
                 (plugins.config_bytes_max)"
            )
        })?;
        Ok(secret)
    };
    write_filled(&mut out, config.root(), &mut secret)?;
    Ok(Some(out.finish()))
}

fn write_filled(
    out: &mut Builder,
    value: Value<'_>,
    secret: &mut impl FnMut(&str) -> Result<Secret, String>,
) -> Result<(), String> {
    if let Some(name) = secret_name(value) {
        out.string(secret(&name)?.reveal());
        return Ok(());
    }
    match value.kind() {
        antar_json::Kind::Object => {
            out.object();
            for (key, member) in value.members() {
                out.key(&key.as_str().unwrap_or_default());
                write_filled(out, member, secret)?;
            }
            out.end();
        }
        antar_json::Kind::Array => {
            out.array();
            for element in value.elements() {
                write_filled(out, element, secret)?;
            }
            out.end();
        }
        _ => {
            out.copy(value);
        }
    }
    Ok(())
}

/// The name in `{"$secret": "NAME"}`.
fn secret_name(value: Value<'_>) -> Option<String> {
    let mut members = value.members();
    let (key, name) = members.next()?;
    (members.next().is_none() && key.str_eq("$secret")).then(|| name.as_str().map(Into::into))?
}

/// Names of the secrets that a config refers to.
#[must_use]
pub fn secrets_of(config: Value<'_>) -> Vec<String> {
    if let Some(name) = secret_name(config) {
        return vec![name];
    }
    let members = config.members().flat_map(|(_, value)| secrets_of(value));
    members.chain(config.elements().flat_map(secrets_of)).collect()
}
