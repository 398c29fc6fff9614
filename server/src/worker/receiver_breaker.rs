//! The circuit breaker: tracks which receivers fail, and decides what to do about them. `health_actions.rs`
//! carries the actions out, in order.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::config::DeliveryConfig;
use crate::model::{Millis, TenantId, WebhookId};
use crate::pipeline::attempt::backoff::Feedback;
use crate::pipeline::attempt::health::{Health, HealthLimits, failed};
use crate::store::FailingWebhook;

/// Time between reads of the failures that other nodes recorded in the database.
const SYNC_EVERY_MS: i64 = 30_000;

/// A webhook and its tenant.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Subject {
    pub(super) tenant: TenantId,
    pub(super) webhook_id: WebhookId,
}

/// An action to carry out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum HealthAction {
    /// The receiver has failed for long: record it in the database.
    Note {
        since: Millis,
        probed: bool,
    },
    /// Another node sends only probes: do the same.
    Hold {
        since: Millis,
    },
    /// The receiver works again.
    Recovered {
        probed: bool,
    },
    /// Another node recorded that the receiver works again, or the webhook's health was reset.
    Released,
    Warn {
        since: Millis,
    },
    Disable {
        since: Millis,
    },
    /// The receiver itself reported that it is gone.
    Gone {
        why: String,
    },
    Probe,
}

struct Failing {
    tenant: TenantId,
    health: Health,
}

/// Receivers whose recent attempts have all failed.
pub(super) struct Breaker {
    limits: HealthLimits,
    failing: HashMap<WebhookId, Failing>,
    /// Scheduled probes.
    probes: BTreeSet<(Millis, WebhookId)>,
    sync_at: Millis,
}

impl Breaker {
    pub(super) fn new(config: &DeliveryConfig, now: Millis) -> Breaker {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let limits = HealthLimits {
            failures_min: config.failing_attempts,
            failing_after_ms: ms(config.failing_after_ms),
            probe_ms_min: ms(config.probe_ms_min),
            probe_ms_max: ms(config.probe_ms_max),
            disable_after_ms: ms(config.disable_after_ms),
        };
        Breaker { limits, failing: HashMap::new(), probes: BTreeSet::new(), sync_at: now }
    }

    /// Takes in the feedback of an attempt, and returns the actions that follow.
    pub(super) fn observe(
        &mut self,
        subject: &Subject,
        feedback: Feedback,
        now: Millis,
    ) -> Vec<HealthAction> {
        let id = subject.webhook_id;
        if feedback == Feedback::Fine {
            let Some(failing) = self.remove(id) else { return Vec::new() };
            let (known, probed) = (failing.health.known, failing.health.is_probed());
            return if known { vec![HealthAction::Recovered { probed }] } else { Vec::new() };
        }
        if !failed(feedback) {
            return Vec::new();
        }
        let new = || Failing { tenant: subject.tenant.clone(), health: Health::new(now) };
        let health = &mut self.failing.entry(id).or_insert_with(new).health;
        let was_at = health.probe_at();
        let followed = health.fail(now, self.limits);
        let (since, probed, at) = (health.since, health.is_probed(), health.probe_at());
        self.move_probe(id, was_at, at);
        let mut actions = Vec::new();
        if followed.disable {
            self.remove(id);
            actions.push(HealthAction::Disable { since });
        }
        if followed.note {
            actions.push(HealthAction::Note { since, probed });
        }
        if followed.warn {
            actions.push(HealthAction::Warn { since });
        }
        actions
    }

    fn move_probe(&mut self, id: WebhookId, from: Option<Millis>, to: Option<Millis>) {
        if from == to {
            return;
        }
        from.into_iter().for_each(|at| {
            self.probes.remove(&(at, id));
        });
        self.probes.extend(to.map(|at| (at, id)));
    }

    fn remove(&mut self, id: WebhookId) -> Option<Failing> {
        let failing = self.failing.remove(&id)?;
        self.move_probe(id, failing.health.probe_at(), None);
        Some(failing)
    }

    /// Webhooks to probe now; schedules the next probe of each.
    pub(super) fn due(&mut self, now: Millis) -> Vec<Subject> {
        let mut due = Vec::new();
        while let Some((at, id)) = self.probes.first().copied().filter(|(at, _)| *at <= now) {
            self.probes.remove(&(at, id));
            let Some(failing) = self.failing.get_mut(&id) else { continue };
            failing.health.probe(now, self.limits);
            self.probes.extend(failing.health.probe_at().map(|at| (at, id)));
            due.push(Subject { tenant: failing.tenant.clone(), webhook_id: id });
        }
        due
    }

    /// No delivery is left to probe this webhook with: its next delivery is sent like any other.
    pub(super) fn trust_once(&mut self, id: WebhookId) {
        let Some(failing) = self.failing.get_mut(&id) else { return };
        let at = failing.health.probe_at();
        failing.health.trust_once();
        self.move_probe(id, at, None);
    }

    /// Whether to read now what other nodes recorded; if so, schedules the next read.
    pub(super) fn is_sync_due(&mut self, now: Millis) -> bool {
        let due = self.sync_at <= now;
        if due {
            self.sync_at = now.plus_ms(SYNC_EVERY_MS);
        }
        due
    }

    /// When the next probe or read is due.
    pub(super) fn wake_at(&self) -> Millis {
        let probe_at = self.probes.first().map_or(self.sync_at, |(at, _)| *at);
        self.sync_at.min(probe_at)
    }

    /// The clock was set back: shifts all times with it.
    pub(super) fn set_back(&mut self, by_ms: i64) {
        let earlier = |(at, id): (Millis, WebhookId)| (at.plus_ms(-by_ms), id);
        self.probes = std::mem::take(&mut self.probes).into_iter().map(earlier).collect();
        self.failing.values_mut().for_each(|failing| failing.health.set_back(by_ms));
        self.sync_at = self.sync_at.plus_ms(-by_ms);
    }

    /// Takes in the failing webhooks recorded in the database, and returns the actions that follow.
    pub(super) fn sync(
        &mut self,
        rows: Vec<FailingWebhook>,
        now: Millis,
    ) -> Vec<(Subject, HealthAction)> {
        let found: HashSet<WebhookId> = rows.iter().map(|row| row.id).collect();
        let gone = |(id, failing): (&WebhookId, &Failing)| {
            (failing.health.known && !found.contains(id)).then_some(*id)
        };
        let gone: Vec<WebhookId> = self.failing.iter().filter_map(gone).collect();
        let mut actions = Vec::new();
        for id in gone {
            let Some(failing) = self.remove(id) else { continue };
            if failing.health.is_probed() {
                actions.push((
                    Subject { tenant: failing.tenant, webhook_id: id },
                    HealthAction::Released,
                ));
            }
        }
        for row in rows {
            if let Some(failing) = self.failing.get_mut(&row.id) {
                let health = &mut failing.health;
                (health.known, health.told) = (true, health.told | row.told);
                health.since = health.since.min(row.since);
                continue;
            }
            let health = Health::found(row.since, row.told, row.probed, now, self.limits);
            self.move_probe(row.id, None, health.probe_at());
            if row.probed {
                let subject = Subject { tenant: row.tenant.clone(), webhook_id: row.id };
                actions.push((subject, HealthAction::Hold { since: row.since }));
            }
            self.failing.insert(row.id, Failing { tenant: row.tenant, health });
        }
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const FAILED: Feedback = Feedback::Failed { answered: true };

    fn subject(id: u128) -> Subject {
        Subject { tenant: "t".parse().unwrap(), webhook_id: WebhookId(uuid::Uuid::from_u128(id)) }
    }

    fn breaker() -> Breaker {
        let config = DeliveryConfig { failing_attempts: 3, ..DeliveryConfig::default() };
        Breaker::new(&config, Millis(0))
    }

    fn row(id: u128, probed: bool) -> FailingWebhook {
        let Subject { tenant, webhook_id } = subject(id);
        FailingWebhook { id: webhook_id, tenant, since: Millis(0), told: false, probed }
    }

    /// Fails until only probes go out, at ten minutes.
    fn failed(breaker: &mut Breaker) {
        for now in [0, 1] {
            assert_eq!(breaker.observe(&subject(1), FAILED, Millis(now)), []);
        }
        let actions = breaker.observe(&subject(1), FAILED, Millis(10 * MINUTE));
        assert_eq!(actions, [HealthAction::Note { since: Millis(0), probed: true }]);
    }

    #[test]
    fn probes_go_out_until_one_arrives() {
        let mut breaker = breaker();
        failed(&mut breaker);
        assert!(breaker.is_sync_due(Millis(10 * MINUTE)));
        assert_eq!(breaker.due(Millis(10 * MINUTE)), []);
        assert_eq!(breaker.due(Millis(11 * MINUTE)), [subject(1)]);
        assert_eq!(breaker.observe(&subject(1), FAILED, Millis(11 * MINUTE)), []);
        assert_eq!(breaker.due(Millis(12 * MINUTE)), []);
        assert_eq!(breaker.due(Millis(13 * MINUTE)), [subject(1)]);
        let actions = breaker.observe(&subject(1), Feedback::Fine, Millis(13 * MINUTE));
        assert_eq!(actions, [HealthAction::Recovered { probed: true }]);
        assert_eq!(breaker.due(Millis(i64::MAX)), []);
        assert_eq!(breaker.observe(&subject(1), Feedback::Fine, Millis(14 * MINUTE)), []);
    }

    #[test]
    fn what_other_nodes_found_counts_here() {
        let mut breaker = breaker();
        let actions = breaker.sync(vec![row(1, true), row(2, false)], Millis(MINUTE));
        assert_eq!(actions, [(subject(1), HealthAction::Hold { since: Millis(0) })]);
        assert_eq!(breaker.due(Millis(MINUTE)), [subject(1)]);
        assert_eq!(
            breaker.sync(vec![row(2, false)], Millis(2 * MINUTE)),
            [(subject(1), HealthAction::Released)]
        );
        assert_eq!(breaker.due(Millis(i64::MAX)), []);
    }

    #[test]
    fn without_anything_to_probe_with_the_next_delivery_is_the_probe() {
        let mut breaker = breaker();
        failed(&mut breaker);
        breaker.trust_once(subject(1).webhook_id);
        assert_eq!(breaker.due(Millis(i64::MAX - 1)), []);
        let actions = breaker.observe(&subject(1), FAILED, Millis(20 * MINUTE));
        assert_eq!(actions, [HealthAction::Note { since: Millis(0), probed: true }]);
        assert_eq!(breaker.due(Millis(21 * MINUTE)), [subject(1)]);
    }
}
