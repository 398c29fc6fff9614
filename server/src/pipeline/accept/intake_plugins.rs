//! Runs a tenant's intake plugins on every posted event, before it is routed or stored.

use antar_json::Document;

use crate::config::IntakeConfig;
use crate::model::{Event, EventKey, IntakeOnError, IntakePlugin, Invalid};
use crate::pipeline::attempt::transform::{PluginInput, call_plugin};
use crate::pipeline::compiled::tenant::Tenant;
use crate::plugin::{CallError, Host, Outcome, Place, Replacement};

/// Why an event is not processed further.
pub(crate) enum Stopped {
    /// Accepted, but dropped by a plugin. The event no longer has its data.
    Dropped {
        event: Box<Event>,
        reason: String,
    },
    /// The client must retry the request.
    Reject(String),
    Invalid(Invalid),
}

/// Returns the events that one event becomes: unchanged, replaced, or split.
pub(crate) async fn run(
    host: &Host,
    tenant: &Tenant,
    event: Event,
    limits: &IntakeConfig,
) -> Result<Vec<Event>, Stopped> {
    let plugins = tenant.read(|state| state.spec.intake_plugins.clone());
    let mut events = vec![event];
    for used in &plugins {
        let mut next = Vec::with_capacity(events.len());
        let mut dropped = None;
        let mut bytes = 0;
        for event in events {
            match one(host, tenant, used, event).await {
                Ok(becomes) => {
                    bytes += becomes.iter().map(|event| event.data().raw().len()).sum::<usize>();
                    next.extend(becomes);
                }
                // If one part of a split event is dropped, the others continue.
                Err(stopped @ Stopped::Dropped { .. }) => dropped = Some(stopped),
                Err(stopped) => return Err(stopped),
            }
            check_growth(next.len(), bytes, limits)?;
        }
        if let (true, Some(stopped)) = (next.is_empty(), dropped) {
            return Err(stopped);
        }
        events = next;
    }
    Ok(events)
}

/// Refuses an event that intake plugins make too much of.
fn check_growth(events: usize, bytes: usize, limits: &IntakeConfig) -> Result<(), Stopped> {
    let (events_max, bytes_max) = (limits.events_max, limits.made_bytes_max);
    let detail = if events > events_max {
        format!(
            "the intake plugins split the event into more than {events_max} (intake.events_max)"
        )
    } else if bytes > bytes_max {
        format!(
            "the intake plugins made more than {bytes_max} bytes of the event (intake.made_bytes_max)"
        )
    } else {
        return Ok(());
    };
    Err(Stopped::Invalid(Invalid::at("", detail)))
}

async fn one(
    host: &Host,
    tenant: &Tenant,
    used: &IntakePlugin,
    event: Event,
) -> Result<Vec<Event>, Stopped> {
    let timestamp = event.timestamp.to_string();
    let input = PluginInput {
        event: &event,
        timestamp: &timestamp,
        data: event.data(),
        place: Place::Intake,
    };
    let result = call_plugin(host, tenant, &used.plugin, &used.config, input).await;
    match result.and_then(|report| report.result) {
        Ok(Outcome::Pass) => Ok(vec![event]),
        Ok(Outcome::Replace(replacement)) => Ok(vec![replaced(&event, replacement, None)?]),
        Ok(Outcome::Split(parts)) => {
            let parts = parts.into_iter().enumerate();
            parts.map(|(number, part)| replaced(&event, part, Some(number))).collect()
        }
        Ok(Outcome::Drop(reason)) => Err(dropped(&event, format!("{}: {reason}", used.plugin))),
        Err(error) => {
            let reason = format!("{}: {error}", used.plugin);
            match (used.on_error, error) {
                (_, error) if error.retry_in_ms().is_some() => Err(Stopped::Reject(reason)),
                (IntakeOnError::Skip, _) => Ok(vec![event]),
                (IntakeOnError::Drop, _) => Err(dropped(&event, reason)),
                // A retry would not help.
                (IntakeOnError::Reject, CallError::Fail(_)) => {
                    let mut invalid = Invalid::at("", reason);
                    invalid.code = "refused_by_plugin";
                    Err(Stopped::Invalid(invalid))
                }
                (IntakeOnError::Reject, _) => Err(Stopped::Reject(reason)),
            }
        }
    }
}

/// Keeps id, type and times of a dropped event, never its data.
fn dropped(event: &Event, reason: String) -> Stopped {
    let empty: Document = antar_json::Document::from(&serde_json::json!({}));
    let bare = Event::new(
        event.key.clone(),
        event.event_type.clone(),
        event.timestamp,
        Vec::new(),
        empty.root(),
    );
    Stopped::Dropped { event: Box::new(Event { hops: event.hops, ..bare }), reason }
}

fn replaced(event: &Event, with: Replacement, number: Option<usize>) -> Result<Event, Stopped> {
    let invalid = |detail: String| Stopped::Invalid(Invalid::at("", detail));
    let event_type = match with.event_type {
        Some(name) => name.parse().map_err(invalid)?,
        None => event.event_type.clone(),
    };
    let mut attributes = event.attributes.clone();
    for (name, value) in with.attributes {
        match attributes.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => attributes.push((name, value)),
        }
    }
    let id = match number {
        Some(number) => format!("{}:{number}", event.key.id).parse().map_err(invalid)?,
        None => event.key.id.clone(),
    };
    // The key's source stays the posted one, so that a repeated post is still detected.
    let key = EventKey { id, ..event.key.clone() };
    let replaced = Event::new(key, event_type, event.timestamp, attributes, with.data.root());
    Ok(Event { hops: event.hops, ..replaced })
}
