//! Replay requests: checked, and turned into a selection.

use antar_json::Document;
use antar_rules::Pattern;
use serde::{Deserialize, Serialize};

use crate::config::ReplayConfig;
use crate::model::{EventId, FieldError, Invalid, Millis, ReplayOf, Selection, State, TypeFilter};

/// Which old events to send again.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayRequest {
    /// `missed`: events that came while the webhook was disabled, and were not sent since.
    pub only: Option<Only>,
    /// The webhook's deliveries in this state. `pending`: the waiting ones are cancelled and their
    /// events sent anew, through today's settings.
    pub state: Option<State>,
    /// The tenant's events that the webhook wants today, whether or not it existed when they came;
    /// with `since`.
    pub events: Option<EventsOf>,
    /// These events, whatever became of them.
    #[schema(value_type = Option<Vec<String>>)]
    pub event_ids: Option<Vec<EventId>>,
    /// Deliveries made, or events accepted, at or after.
    pub since: Option<Millis>,
    /// Deliveries made, or events accepted, before.
    pub until: Option<Millis>,
    /// Of these types only, as in a webhook.
    #[schema(value_type = Vec<String>)]
    pub event_types: Vec<TypeFilter>,
    /// Only events that match this event pattern.
    #[schema(value_type = Option<Object>)]
    pub rule: Option<Document>,
    /// Only events with this `attributes.subject`.
    pub subject: Option<String>,
    /// New deliveries in a second. Left out: a small replay is finished at once, a larger one goes
    /// at `replay.pace_per_s`.
    pub pace_per_s: Option<u32>,
    /// Says how many events are meant and shows three of them rendered; nothing is made.
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    Missed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventsOf {
    /// Whatever became of them: also those that were delivered.
    All,
    /// Those that never had a delivery to this webhook.
    New,
}

impl ReplayRequest {
    /// The selection of this request, limited to what happened up to `now`.
    pub(super) fn selection(
        &self,
        config: &ReplayConfig,
        now: Millis,
    ) -> Result<Selection, Invalid> {
        self.check_pace(config)?;
        if self.since.zip(self.until).is_some_and(|(since, until)| since > until) {
            return Err(Invalid::at("/until", "is after `since`"));
        }
        // Excludes everything later: the replay's own deliveries, and new events.
        let started = now.plus_ms(1);
        Ok(Selection {
            of: self.of(config)?,
            since: self.since,
            until: self.until.map_or(started, |until| until.min(started)),
            subject: self.subject.clone(),
            event_types: self.event_types.clone(),
            rule: self.checked_rule()?,
        })
    }

    fn of(&self, config: &ReplayConfig) -> Result<ReplayOf, Invalid> {
        let ways = [
            self.only.is_some(),
            self.state.is_some(),
            self.events.is_some(),
            self.event_ids.is_some(),
        ];
        if ways.iter().filter(|way| **way).count() > 1 {
            let detail = "say one of `only`, `state`, `events` and `event_ids`";
            return Err(Invalid::at("", detail));
        }
        if let Some(event_ids) = &self.event_ids {
            let max = config.event_ids_max;
            if event_ids.is_empty() {
                return Err(Invalid::at("/event_ids", "lists at least one event"));
            }
            if event_ids.len() > max {
                let detail = format!(
                    "lists {} events, {max} are allowed (replay.event_ids_max)",
                    event_ids.len()
                );
                return Err(Invalid::at("/event_ids", detail));
            }
            if self.since.is_some() || self.until.is_some() {
                let detail =
                    "listed events are sent whenever they came; leave out `since` and `until`";
                return Err(Invalid::at("/event_ids", detail));
            }
            return Ok(ReplayOf::Listed { event_ids: event_ids.clone() });
        }
        if let Some(events) = self.events {
            if self.since.is_none() {
                return Err(Invalid::at(
                    "/since",
                    "is needed with `events`: the period's beginning",
                ));
            }
            return Ok(ReplayOf::Events { only_new: events == EventsOf::New });
        }
        let state = self.only.map(|Only::Missed| State::Missed).or(self.state);
        if state == Some(State::InFlight) {
            let detail = "deliveries in flight can't be replayed; wait for them, or cancel them";
            return Err(Invalid::at("/state", detail));
        }
        if state.is_none() && self.since.is_none() {
            let detail = "say what to replay: `only`, `state`, `events`, `event_ids` or `since`";
            return Err(Invalid::at("", detail));
        }
        Ok(ReplayOf::Deliveries { state })
    }

    fn check_pace(&self, config: &ReplayConfig) -> Result<(), Invalid> {
        let max = config.pace_per_s_max;
        match self.pace_per_s {
            Some(pace) if pace == 0 || pace > max => {
                let detail = format!("is 1 to {max} (replay.pace_per_s_max)");
                Err(Invalid::at("/pace_per_s", detail))
            }
            _ => Ok(()),
        }
    }

    fn checked_rule(&self) -> Result<Option<Document>, Invalid> {
        let Some(rule) = &self.rule else { return Ok(None) };
        Pattern::parse(rule.root()).map_err(|error| Invalid {
            code: "rule_invalid",
            errors: vec![FieldError::new(format!("/rule{}", error.pointer), error.detail)],
        })?;
        Ok(Some(rule.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_800_000_000_000);

    fn selection(request: &str) -> Result<Selection, String> {
        let request: ReplayRequest = serde_json::from_str(request).unwrap();
        request.selection(&ReplayConfig::default(), NOW).map_err(|invalid| {
            let error = &invalid.errors[0];
            format!("{}: {}", error.pointer, error.detail)
        })
    }

    #[test]
    fn a_request_says_one_thing() {
        let of = |request: &str| selection(request).unwrap().of;
        let missed = ReplayOf::Deliveries { state: Some(State::Missed) };
        assert_eq!(of(r#"{"only": "missed"}"#), missed);
        assert_eq!(of(r#"{"state": "missed"}"#), missed);
        let since = r#""since": "2026-03-10T00:00:00Z""#;
        assert_eq!(of(&format!("{{{since}}}")), ReplayOf::Deliveries { state: None });
        let new = format!(r#"{{"events": "new", {since}}}"#);
        assert_eq!(of(&new), ReplayOf::Events { only_new: true });
        for refused in [
            "{}",
            r#"{"subject": "c-1"}"#,
            r#"{"events": "all"}"#,
            r#"{"state": "in_flight"}"#,
            r#"{"only": "missed", "state": "failed"}"#,
            r#"{"event_ids": ["a"], "since": "2026-03-10T00:00:00Z"}"#,
            r#"{"only": "missed", "pace_per_s": 0}"#,
        ] {
            assert!(selection(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn nothing_later_than_the_start_is_meant() {
        let until =
            |text: &str| selection(&format!(r#"{{"only": "missed"{text}}}"#)).unwrap().until;
        assert_eq!(until(""), NOW.plus_ms(1));
        assert_eq!(until(r#", "until": "2100-01-01T00:00:00Z""#), NOW.plus_ms(1));
        assert_eq!(until(r#", "until": "1970-01-01T00:00:01Z""#), Millis(1_000));
    }

    #[test]
    fn a_rule_is_checked_where_it_stands() {
        let refused = selection(r#"{"only": "missed", "rule": {"data": {"n": [{"prefx": "a"}]}}}"#);
        assert!(refused.unwrap_err().starts_with("/rule/data/n"));
    }

    #[test]
    fn a_selection_is_stored_as_it_is() {
        let text =
            r#"{"event_ids": ["a", "b"], "event_types": ["a.*"], "rule": {"data": {"n": [1.50]}}}"#;
        let selection = selection(text).unwrap();
        let stored = serde_json::to_string(&selection).unwrap();
        assert!(stored.contains("1.50"), "{stored}");
        assert_eq!(serde_json::from_str::<Selection>(&stored).unwrap(), selection);
    }
}
