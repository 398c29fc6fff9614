//! Transform stage: runs the webhook's plugins in order, each in a fresh instance.

use antar_json::{Builder, Document, Value};

use crate::model::{Event, OnError, PluginUse, Secret, is_of_connection};
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
    /// A plugin is paused or being recompiled. The delivery waits, and no attempt is counted.
    Hold {
        reason: String,
        retry_in_ms: u64,
    },
}

/// One plugin call, reported for previews.
#[derive(Clone, Debug)]
pub struct Step {
    pub plugin: String,
    pub before: Document,
    /// None if the plugin was not called: it, or a secret of its config, does not exist.
    pub report: Option<CallReport>,
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
    mut seen: impl FnMut(Step),
) -> TransformEnd {
    let timestamp = event.timestamp.to_string();
    let mut now = Transformed { data: None, headers: Vec::new(), secrets: Vec::new() };
    for used in &webhook.plan.plugins {
        let names = secrets_of(used.config.root()).into_iter();
        now.secrets.extend(names.filter_map(|name| Some((name.clone(), tenant.secret(&name)?))));
        let before = now.data.clone();
        let data = before.as_ref().map_or_else(|| event.data(), Document::root);
        let call = PluginInput { event, timestamp: &timestamp, data, place: Place::Webhook };
        let report = call_plugin(host, tenant, &used.plugin, &used.config, call).await;
        let result = match report {
            Ok(mut report) => {
                report.result = report.result.and_then(without_connection_headers);
                let result = report.result.clone();
                seen(Step {
                    plugin: used.plugin.clone(),
                    before: data.to_document(),
                    report: Some(report),
                });
                result
            }
            Err(error) => {
                seen(Step {
                    plugin: used.plugin.clone(),
                    before: data.to_document(),
                    report: None,
                });
                Err(error)
            }
        };
        match result {
            Ok(Outcome::Pass) => {}
            Ok(Outcome::Replace(replacement)) => {
                now.data = Some(replacement.data);
                now.headers.extend(replacement.headers);
            }
            Ok(Outcome::Drop(reason)) => return TransformEnd::Drop(named(used, &reason)),
            // Not expected: the host already rejects a split at a webhook.
            Ok(Outcome::Split(_)) => return TransformEnd::Fail(named(used, "split at a webhook")),
            Err(CallError::Fail(reason)) => return TransformEnd::Fail(named(used, &reason)),
            // The plugin itself is fine: `on_error: skip` would omit a step that the user configured.
            Err(error @ CallError::NotReady { retry_in_ms }) => {
                return TransformEnd::Hold { reason: named(used, &error.to_string()), retry_in_ms };
            }
            Err(error) => {
                let reason = named(used, &error.to_string());
                match used.on_error {
                    OnError::Skip => {}
                    OnError::Retry if let CallError::Paused { retry_in_ms, .. } = error => {
                        return TransformEnd::Hold { reason, retry_in_ms };
                    }
                    OnError::Retry => return TransformEnd::Retry(reason),
                    OnError::Drop => return TransformEnd::Drop(reason),
                    OnError::Fail => return TransformEnd::Fail(reason),
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
    let filled = fill_secrets(config, tenant).map_err(CallError::Retry)?;
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
fn fill_secrets(config: &Document, tenant: &Tenant) -> Result<Option<Document>, String> {
    if !config.text().contains("\"$secret\"") {
        return Ok(None);
    }
    let mut out = Builder::new();
    write_filled(&mut out, config.root(), tenant)?;
    Ok(Some(out.finish()))
}

fn write_filled(out: &mut Builder, value: Value<'_>, tenant: &Tenant) -> Result<(), String> {
    if let Some(name) = secret_name(value) {
        let secret = tenant.secret(&name).ok_or_else(|| format!("there is no secret `{name}`"))?;
        out.string(secret.reveal());
        return Ok(());
    }
    match value.kind() {
        antar_json::Kind::Object => {
            out.object();
            for (key, member) in value.members() {
                out.key(&key.as_str().unwrap_or_default());
                write_filled(out, member, tenant)?;
            }
            out.end();
        }
        antar_json::Kind::Array => {
            out.array();
            for element in value.elements() {
                write_filled(out, element, tenant)?;
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
