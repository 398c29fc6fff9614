//! A tenant's plugins on everything that comes in, before anything is routed or stored.

use antar_json::Document;

use crate::model::{Event, EventKey, IntakeOnError, IntakePlugin, Invalid};
use crate::pipeline::attempt::transform::{PluginInput, call_plugin};
use crate::pipeline::compiled::tenant::Tenant;
use crate::plugin::{CallError, Host, Outcome, Place, Replacement};

/// Why an event does not go on.
pub(crate) enum Stopped {
    /// Accepted and done with. The event has no data any more.
    Dropped {
        event: Box<Event>,
        reason: String,
    },
    /// The poster shall try again.
    Reject(String),
    Invalid(Invalid),
}

/// The events that one becomes: itself, changed, or split.
pub(crate) async fn run(
    host: &Host,
    tenant: &Tenant,
    event: Event,
    events_max: usize,
) -> Result<Vec<Event>, Stopped> {
    let plugins = tenant.read(|state| state.spec.intake_plugins.clone());
    let mut events = vec![event];
    for used in &plugins {
        let mut next = Vec::with_capacity(events.len());
        let mut dropped = None;
        for event in events {
            match one(host, tenant, used, event).await {
                Ok(becomes) => next.extend(becomes),
                // Of several parts the others go on.
                Err(stopped @ Stopped::Dropped { .. }) => dropped = Some(stopped),
                Err(stopped) => return Err(stopped),
            }
        }
        if let (true, Some(stopped)) = (next.is_empty(), dropped) {
            return Err(stopped);
        }
        if next.len() > events_max {
            let detail = format!(
                "the intake plugins split the event into more than {events_max} (intake.events_max)"
            );
            return Err(Stopped::Invalid(Invalid::at("", detail)));
        }
        events = next;
    }
    Ok(events)
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
                // Nothing is wrong with it: `skip` would leave out what the user wants done.
                (_, CallError::NotReady { .. }) => Err(Stopped::Reject(reason)),
                (IntakeOnError::Skip, _) => Ok(vec![event]),
                (IntakeOnError::Drop, _) => Err(dropped(&event, reason)),
                // Asking again would not help.
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

/// What is kept of a dropped event: id, type and times, never data.
fn dropped(event: &Event, reason: String) -> Stopped {
    let empty: Document = antar_json::Document::from(&serde_json::json!({}));
    let bare = Event::new(
        event.key.clone(),
        event.event_type.clone(),
        event.timestamp,
        Vec::new(),
        empty.root(),
    );
    Stopped::Dropped { event: Box::new(bare), reason }
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
    // The key's source stays the posted one, so that a repeated post is still found.
    let key = EventKey { id, ..event.key.clone() };
    Ok(Event::new(key, event_type, event.timestamp, attributes, with.data.root()))
}
