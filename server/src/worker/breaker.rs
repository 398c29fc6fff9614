//! Which receivers fail, as the scheduler sees it. What follows from that is carried out elsewhere,
//! in order: see `failing.rs`.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::config::DeliveryConfig;
use crate::model::{Millis, TenantId, WebhookId};
use crate::pipeline::attempt::health::{Health, HealthLimits, failed};
use crate::pipeline::attempt::tempo::Said;
use crate::store::FailingWebhook;

/// How often the database is asked what other nodes have found.
const SYNC_EVERY_MS: i64 = 30_000;

/// A webhook, and whose it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Whose {
    pub(super) tenant: TenantId,
    pub(super) webhook_id: WebhookId,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// It fails for long: the database is to know.
    Note {
        since: Millis,
        probed: bool,
    },
    /// Another node sends probes only; so does this one.
    Hold {
        since: Millis,
    },
    /// It works again.
    Recovered {
        probed: bool,
    },
    /// Another node has seen that it works again, or somebody began anew.
    Released,
    Warn {
        since: Millis,
    },
    Disable {
        since: Millis,
    },
    /// The receiver itself said that it is gone.
    Gone {
        why: String,
    },
    Probe,
}

struct Failing {
    tenant: TenantId,
    health: Health,
}

/// The receivers that have done nothing but fail lately.
pub(super) struct Breaker {
    limits: HealthLimits,
    failing: HashMap<WebhookId, Failing>,
    /// When probes go out.
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

    /// Takes in what an attempt said.
    pub(super) fn hear(&mut self, whose: &Whose, said: Said, now: Millis) -> Vec<Act> {
        let id = whose.webhook_id;
        if said == Said::Fine {
            let Some(failing) = self.remove(id) else { return Vec::new() };
            let (known, probed) = (failing.health.known, failing.health.is_probed());
            return if known { vec![Act::Recovered { probed }] } else { Vec::new() };
        }
        if !failed(said) {
            return Vec::new();
        }
        let new = || Failing { tenant: whose.tenant.clone(), health: Health::new(now) };
        let health = &mut self.failing.entry(id).or_insert_with(new).health;
        let was_at = health.probe_at();
        let followed = health.fail(now, self.limits);
        let (since, probed, at) = (health.since, health.is_probed(), health.probe_at());
        self.move_probe(id, was_at, at);
        let mut acts = Vec::new();
        if followed.disable {
            self.remove(id);
            acts.push(Act::Disable { since });
        }
        if followed.note {
            acts.push(Act::Note { since, probed });
        }
        if followed.warn {
            acts.push(Act::Warn { since });
        }
        acts
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

    /// Probes to send now.
    pub(super) fn due(&mut self, now: Millis) -> Vec<Whose> {
        let mut due = Vec::new();
        while let Some((at, id)) = self.probes.first().copied().filter(|(at, _)| *at <= now) {
            self.probes.remove(&(at, id));
            let Some(failing) = self.failing.get_mut(&id) else { continue };
            failing.health.probe(now, self.limits);
            self.probes.extend(failing.health.probe_at().map(|at| (at, id)));
            due.push(Whose { tenant: failing.tenant.clone(), webhook_id: id });
        }
        due
    }

    /// Nothing waits that a webhook could be probed with.
    pub(super) fn trust_once(&mut self, id: WebhookId) {
        let Some(failing) = self.failing.get_mut(&id) else { return };
        let at = failing.health.probe_at();
        failing.health.trust_once();
        self.move_probe(id, at, None);
    }

    /// Whether it is time to ask what other nodes have found.
    pub(super) fn is_sync_due(&mut self, now: Millis) -> bool {
        let due = self.sync_at <= now;
        if due {
            self.sync_at = now.plus_ms(SYNC_EVERY_MS);
        }
        due
    }

    /// When there is something to do though nothing happened.
    pub(super) fn wake_at(&self) -> Millis {
        let probe_at = self.probes.first().map_or(self.sync_at, |(at, _)| *at);
        self.sync_at.min(probe_at)
    }

    /// The clock was set back.
    pub(super) fn set_back(&mut self, by_ms: i64) {
        let earlier = |(at, id): (Millis, WebhookId)| (at.plus_ms(-by_ms), id);
        self.probes = std::mem::take(&mut self.probes).into_iter().map(earlier).collect();
        self.failing.values_mut().for_each(|failing| failing.health.set_back(by_ms));
        self.sync_at = self.sync_at.plus_ms(-by_ms);
    }

    /// Takes in what the database knows.
    pub(super) fn sync(&mut self, rows: Vec<FailingWebhook>, now: Millis) -> Vec<(Whose, Act)> {
        let found: HashSet<WebhookId> = rows.iter().map(|row| row.id).collect();
        let gone = |(id, failing): (&WebhookId, &Failing)| {
            (failing.health.known && !found.contains(id)).then_some(*id)
        };
        let gone: Vec<WebhookId> = self.failing.iter().filter_map(gone).collect();
        let mut acts = Vec::new();
        for id in gone {
            let Some(failing) = self.remove(id) else { continue };
            if failing.health.is_probed() {
                acts.push((Whose { tenant: failing.tenant, webhook_id: id }, Act::Released));
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
                let whose = Whose { tenant: row.tenant.clone(), webhook_id: row.id };
                acts.push((whose, Act::Hold { since: row.since }));
            }
            self.failing.insert(row.id, Failing { tenant: row.tenant, health });
        }
        acts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const FAILED: Said = Said::Failed { answered: true };

    fn whose(id: u128) -> Whose {
        Whose { tenant: "t".parse().unwrap(), webhook_id: WebhookId(uuid::Uuid::from_u128(id)) }
    }

    fn breaker() -> Breaker {
        let config = DeliveryConfig { failing_attempts: 3, ..DeliveryConfig::default() };
        Breaker::new(&config, Millis(0))
    }

    fn row(id: u128, probed: bool) -> FailingWebhook {
        let Whose { tenant, webhook_id } = whose(id);
        FailingWebhook { id: webhook_id, tenant, since: Millis(0), told: false, probed }
    }

    /// Fails until only probes go out, at ten minutes.
    fn failed(breaker: &mut Breaker) {
        for now in [0, 1] {
            assert_eq!(breaker.hear(&whose(1), FAILED, Millis(now)), []);
        }
        let acts = breaker.hear(&whose(1), FAILED, Millis(10 * MINUTE));
        assert_eq!(acts, [Act::Note { since: Millis(0), probed: true }]);
    }

    #[test]
    fn probes_go_out_until_one_arrives() {
        let mut breaker = breaker();
        failed(&mut breaker);
        assert!(breaker.is_sync_due(Millis(10 * MINUTE)));
        assert_eq!(breaker.due(Millis(10 * MINUTE)), []);
        assert_eq!(breaker.due(Millis(11 * MINUTE)), [whose(1)]);
        assert_eq!(breaker.hear(&whose(1), FAILED, Millis(11 * MINUTE)), []);
        assert_eq!(breaker.due(Millis(12 * MINUTE)), []);
        assert_eq!(breaker.due(Millis(13 * MINUTE)), [whose(1)]);
        let acts = breaker.hear(&whose(1), Said::Fine, Millis(13 * MINUTE));
        assert_eq!(acts, [Act::Recovered { probed: true }]);
        assert_eq!(breaker.due(Millis(i64::MAX)), []);
        assert_eq!(breaker.hear(&whose(1), Said::Fine, Millis(14 * MINUTE)), []);
    }

    #[test]
    fn what_other_nodes_found_counts_here() {
        let mut breaker = breaker();
        let acts = breaker.sync(vec![row(1, true), row(2, false)], Millis(MINUTE));
        assert_eq!(acts, [(whose(1), Act::Hold { since: Millis(0) })]);
        assert_eq!(breaker.due(Millis(MINUTE)), [whose(1)]);
        assert_eq!(
            breaker.sync(vec![row(2, false)], Millis(2 * MINUTE)),
            [(whose(1), Act::Released)]
        );
        assert_eq!(breaker.due(Millis(i64::MAX)), []);
    }

    #[test]
    fn without_anything_to_probe_with_the_next_delivery_is_the_probe() {
        let mut breaker = breaker();
        failed(&mut breaker);
        breaker.trust_once(whose(1).webhook_id);
        assert_eq!(breaker.due(Millis(i64::MAX - 1)), []);
        let acts = breaker.hear(&whose(1), FAILED, Millis(20 * MINUTE));
        assert_eq!(acts, [Act::Note { since: Millis(0), probed: true }]);
        assert_eq!(breaker.due(Millis(21 * MINUTE)), [whose(1)]);
    }
}
