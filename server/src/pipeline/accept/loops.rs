//! Loops: deliveries that come back as events of the tenant that they came from. Each event knows how often it
//! has come back and which event it began with (`model::Hops`). Both are bounded, so a loop ends: by the length
//! of its way, and by the number of deliveries that one event leads to.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::config::LoopsConfig;
use crate::model::{Event, Millis, TenantId};
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;

/// Roots that are counted at once; beyond that the older half is forgotten.
const ROOTS_MAX: usize = 100_000;
/// A tenant's log line about loops is written at most this often.
const SAID_EVERY_MS: i64 = 60_000;
/// Events in a second that go to this server itself before they look like a loop.
const GOING_HOME_PER_S: u32 = 20;
/// Webhooks that a log line names.
const NAMES_MAX: usize = 5;

/// Counts what comes back to this node.
#[derive(Default)]
pub struct Loops {
    hasher: RandomState,
    made: Mutex<Made>,
    tenants: Mutex<HashMap<TenantId, OfTenant>>,
}

/// Deliveries by the hash of tenant and root, in two generations.
#[derive(Default)]
struct Made {
    now: HashMap<u64, u32>,
    before: HashMap<u64, u32>,
}

struct OfTenant {
    said_at: Option<Millis>,
    /// The second that is counted, and the events in it that go to this server itself.
    second: i64,
    going_home: u32,
}

impl Made {
    /// Adds deliveries if there is room for them.
    fn add(&mut self, key: u64, deliveries: u32, max: u32) -> bool {
        let known = self.now.get(&key).or_else(|| self.before.get(&key)).copied().unwrap_or(0);
        let sum = known.saturating_add(deliveries);
        if sum > max {
            return false;
        }
        if self.now.len() >= ROOTS_MAX / 2 {
            self.before = std::mem::take(&mut self.now);
        }
        self.now.insert(key, sum);
        true
    }
}

/// Why an event that has come back too often is dropped.
pub(crate) fn too_long(event: &Event, config: &LoopsConfig) -> Option<String> {
    let (count, max) = (event.hops.count, config.hops_max);
    (count > max).then(|| {
        format!("loop: it came through deliveries of Antar {count} times, {max} are allowed (loops.hops_max)")
    })
}

impl Loops {
    /// Why an event that has come back is dropped instead of being delivered, if the event that it began with
    /// has led to too many deliveries of this tenant. Otherwise its deliveries are counted.
    pub(crate) fn too_wide(
        &self,
        event: &Event,
        deliveries: usize,
        config: &LoopsConfig,
    ) -> Option<String> {
        let root = event.hops.root.filter(|_| event.hops.count > 0)?;
        let (max, key) = (config.deliveries_max, self.hasher.hash_one((&event.key.tenant, root)));
        // One that nobody wants counts too.
        let deliveries = u32::try_from(deliveries).unwrap_or(u32::MAX).max(1);
        (!self.made.lock().add(key, deliveries, max)).then(|| {
            format!(
                "loop: the event it began with has come back and led to more than {max} deliveries \
                 (loops.deliveries_max)"
            )
        })
    }

    /// Counts and reports an event that was dropped.
    pub(crate) fn ended(&self, tenant: &Tenant, event: &Event, reason: &str, now: Millis) {
        let id = tenant.id.as_str().to_owned();
        metrics::counter!("antar_loop_events_dropped_total", "tenant" => id).increment(1);
        if !self.may_say(&tenant.id, now) {
            return;
        }
        let webhooks = tenant.read(|state| {
            let home = state.webhooks().filter(|webhook| webhook.plan.goes_home);
            home.map(|webhook| webhook.spec.name.clone()).take(NAMES_MAX).collect::<Vec<_>>()
        });
        tracing::warn!(
            tenant = %tenant.id,
            event_type = %event.event_type,
            source = event.attribute("source"),
            ?webhooks,
            reason,
            "events that come back to their tenant are dropped; `webhooks` lists those that send to this server itself"
        );
    }

    /// Reports events that go to this server itself at a high rate: where a proxy on the way takes the hops out,
    /// nothing else tells of a loop.
    pub(crate) fn note_going_home<'w>(
        &self,
        tenant: &Tenant,
        event: &Event,
        mut webhooks: impl Iterator<Item = &'w Webhook>,
        now: Millis,
    ) {
        let Some(webhook) = webhooks.find(|webhook| webhook.plan.goes_home) else { return };
        if self.going_home(&tenant.id, now) == GOING_HOME_PER_S && self.may_say(&tenant.id, now) {
            tracing::warn!(
                tenant = %tenant.id,
                source = event.attribute("source"),
                webhook = webhook.spec.name,
                "a webhook sends many events to this server itself; if they come back, this is a loop"
            );
        }
    }

    /// Counts an event that goes to this server itself, and returns how many did in this second.
    fn going_home(&self, tenant: &TenantId, now: Millis) -> u32 {
        let mut tenants = self.tenants.lock();
        let of_tenant = of(&mut tenants, tenant, now);
        let second = now.0.div_euclid(1_000);
        if of_tenant.second != second {
            (of_tenant.second, of_tenant.going_home) = (second, 0);
        }
        of_tenant.going_home = of_tenant.going_home.saturating_add(1);
        of_tenant.going_home
    }

    /// Whether a tenant's log line is due; then it counts as written.
    fn may_say(&self, tenant: &TenantId, now: Millis) -> bool {
        let mut tenants = self.tenants.lock();
        let of_tenant = of(&mut tenants, tenant, now);
        // Also when the clock was set back.
        let due = of_tenant.said_at.is_none_or(|at| (now.0 - at.0).abs() >= SAID_EVERY_MS);
        if due {
            of_tenant.said_at = Some(now);
        }
        due
    }
}

/// The entry of a tenant; entries without news are removed when a new one comes.
fn of<'a>(
    tenants: &'a mut HashMap<TenantId, OfTenant>,
    tenant: &TenantId,
    now: Millis,
) -> &'a mut OfTenant {
    if !tenants.contains_key(tenant) {
        let recent = |at: Option<Millis>| at.is_some_and(|at| (now.0 - at.0).abs() < SAID_EVERY_MS);
        let second = now.0.div_euclid(1_000);
        tenants.retain(|_, known| recent(known.said_at) || known.second == second);
    }
    let new = OfTenant { said_at: None, second: 0, going_home: 0 };
    tenants.entry(tenant.clone()).or_insert(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_of_a_root_are_counted_up_to_their_number() {
        let mut made = Made::default();
        assert!(made.add(1, 7, 10) && made.add(1, 3, 10));
        assert!(!made.add(1, 1, 10), "it is used up");
        assert!(made.add(2, 10, 10), "another one is not");
    }

    #[test]
    fn what_is_counted_stays_until_many_others_came() {
        let mut made = Made::default();
        assert!(made.add(u64::MAX, 10, 10));
        for key in 0..ROOTS_MAX as u64 {
            assert!(made.now.len() + made.before.len() <= ROOTS_MAX);
            assert!(made.add(key, 1, 10));
            if key < ROOTS_MAX as u64 / 2 {
                assert!(!made.add(u64::MAX, 1, 10), "{key}");
            }
        }
    }

    #[test]
    fn one_line_per_tenant_and_minute() {
        let (loops, start) = (Loops::default(), Millis(1_800_000_000_000));
        let (a, b): (TenantId, TenantId) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert!(loops.may_say(&a, start) && !loops.may_say(&a, start.plus_ms(59_999)));
        assert!(loops.may_say(&b, start.plus_ms(1)), "each tenant has its own");
        assert!(loops.may_say(&a, start.plus_ms(60_000)));
        let later = start.plus_ms(600_000);
        assert!(loops.may_say(&"c".parse().unwrap(), later));
        assert_eq!(loops.tenants.lock().len(), 1, "those without news are removed");
    }
}
