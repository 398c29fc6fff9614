//! Decides which rows of a selection are replayed.

use antar_json::{OutOfSteps, Steps};
use antar_rules::Pattern;

use super::Unreadable;
use crate::model::{DeliveryId, Event, Replay, ReplayId, ReplayOf, Selection, State};
use crate::pipeline::compiled::subscription::Subscription;
use crate::pipeline::compiled::webhook::Webhook;
use crate::store::Candidate;

/// Whether a row is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Wanted,
    Unwanted,
    /// It would take too many steps to tell.
    Undecided,
}

/// A row with the decision on it. A wanted or undecided one has an event.
pub(super) struct Decided {
    pub(super) row: Candidate,
    pub(super) decision: Decision,
}

/// The parts of a selection that the database does not evaluate.
pub(super) struct Filter {
    subscription: Subscription,
    /// The webhook's own subscription applies too.
    as_webhook: bool,
    /// Only waiting deliveries are selected.
    only_waiting: bool,
}

impl Filter {
    pub(super) fn new(selection: &Selection) -> Result<Filter, Unreadable> {
        let rule = match &selection.rule {
            Some(rule) => Pattern::parse(rule.root())?,
            None => Pattern::match_all(),
        };
        let mut event_types = selection.event_types.clone();
        if event_types.is_empty() {
            event_types.extend("*".parse());
        }
        Ok(Filter {
            subscription: Subscription::new(event_types, Vec::new(), rule),
            as_webhook: matches!(selection.of, ReplayOf::Events { .. }),
            only_waiting: selection.of == ReplayOf::Deliveries { state: Some(State::Pending) },
        })
    }

    /// Whether every new delivery replaces a waiting one.
    pub(super) fn replaces_waiting(&self) -> bool {
        self.only_waiting
    }

    /// Decides on rows; each may take `steps_max` steps.
    pub(super) fn decide(
        &self,
        webhook: &Webhook,
        rows: Vec<Candidate>,
        steps_max: u64,
    ) -> Vec<Decided> {
        let decide = |row: Candidate| {
            let decision = match self.wanted(webhook, &row, &Steps::new(steps_max)) {
                Ok(true) => Decision::Wanted,
                Ok(false) => Decision::Unwanted,
                Err(OutOfSteps) => Decision::Undecided,
            };
            Decided { row, decision }
        };
        rows.into_iter().map(decide).collect()
    }

    fn wanted(
        &self,
        webhook: &Webhook,
        candidate: &Candidate,
        steps: &Steps,
    ) -> Result<bool, OutOfSteps> {
        let Some(event) = candidate.event.as_ref().filter(|_| !candidate.taken_up) else {
            return Ok(false);
        };
        let accepts = |subscription: &Subscription| {
            subscription.accept(event.event_type.as_str(), event.document.root(), steps)
        };
        if !accepts(&self.subscription)? {
            return Ok(false);
        }
        let as_webhook = self.as_webhook || candidate.undecided;
        Ok(!as_webhook || accepts(&webhook.plan.subscription)?)
    }

    /// The waiting delivery that a new one replaces.
    pub(super) fn instead_of(candidate: &Candidate) -> Option<DeliveryId> {
        let (id, state) = candidate.delivery?;
        (state == State::Pending).then_some(id)
    }
}

/// The id of a replay's delivery of an event: deterministic, and a UUIDv7 of the replay's start.
pub(super) fn delivery_id(replay: &Replay, event: &Event) -> DeliveryId {
    use sha2::{Digest, Sha256};
    let ReplayId(id) = replay.id;
    let mut digest = Sha256::new();
    digest.update(id.as_bytes());
    digest.update(event.key.id.as_str());
    digest.update([0]);
    digest.update(&event.key.source);
    let digest = digest.finalize();
    let mut random = [0; 10];
    random.copy_from_slice(&digest[..10]);
    let ms = u64::try_from(replay.started_at.0).unwrap_or_default();
    DeliveryId(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventKey, Millis, ReplayState, WebhookId};

    fn event(source: &str, id: &str) -> Event {
        let key = EventKey {
            tenant: "t".parse().unwrap(),
            source: source.to_owned(),
            id: id.parse().unwrap(),
        };
        let data: antar_json::Document = "{}".parse().unwrap();
        Event::new(key, "a.b".parse().unwrap(), Millis(0), Vec::new(), data.root())
    }

    fn replay() -> Replay {
        let now = Millis(1_800_000_000_123);
        Replay {
            id: ReplayId::new(now),
            tenant: "t".parse().unwrap(),
            webhook_id: WebhookId::new(now),
            selection: Selection {
                of: ReplayOf::Deliveries { state: None },
                since: None,
                until: now,
                subject: None,
                event_types: Vec::new(),
                rule: None,
            },
            state: ReplayState::Running,
            pace_per_s: 1,
            total: 0,
            exact: true,
            made: 0,
            skipped: 0,
            position: String::new(),
            error: None,
            started_at: now,
            ended_at: None,
        }
    }

    #[test]
    fn an_event_has_one_delivery_in_a_replay() {
        let replay = replay();
        let id = delivery_id(&replay, &event("s", "a"));
        assert_eq!(delivery_id(&replay, &event("s", "a")), id);
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(id.0.get_timestamp().unwrap().to_unix(), (1_800_000_000, 123_000_000));
        for other in [event("s", "b"), event("", "a"), event("a", "s")] {
            assert_ne!(delivery_id(&replay, &other), id);
        }
        let again = Replay { id: ReplayId::new(replay.started_at), ..replay };
        assert_ne!(delivery_id(&again, &event("s", "a")), id);
    }
}
