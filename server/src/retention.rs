//! Deletes old events and payloads: by age, which tenants and event types may set, and by the size of the
//! database file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::config::RetentionConfig;
use crate::model::{Millis, RetentionSpec, TenantId};
use crate::pipeline::Pipeline;
use crate::pipeline::compiled::tenant::Tenant;
use crate::registry::Registry;
use crate::store::{Old, OldTypes, Oldest, Pass, StoreError};

/// Pause between two transactions, so that other writers get the disk.
const REST: Duration = Duration::from_millis(20);

/// A tenant is checked again after this time at the latest, since the clock may have been set back.
const LOOK_AGAIN_MS: i64 = 3_600_000;

/// How long each of a tenant's event types is kept.
type Rules = Vec<(OldTypes, RetentionSpec)>;

/// When a tenant may next have old events, by the rules in force at the last check.
struct NextLook {
    /// The tenant's: another one of the same id is looked at anew.
    generation: Uuid,
    at: Millis,
    rules: Rules,
}

/// What a pass deletes.
#[derive(Clone, Copy)]
enum What {
    Events,
    Payloads,
}

/// The task that deletes old events and payloads.
pub struct Retention {
    pipeline: Arc<Pipeline>,
    registry: Arc<Registry>,
    stop: watch::Receiver<bool>,
}

impl Retention {
    #[must_use]
    pub fn new(
        pipeline: Arc<Pipeline>,
        registry: Arc<Registry>,
        stop: watch::Receiver<bool>,
    ) -> Retention {
        Retention { pipeline, registry, stop }
    }

    pub async fn keep(self) {
        let every_ms = i64::try_from(self.config().every_ms).unwrap_or(i64::MAX);
        let mut stop = self.stop.clone();
        let mut looks = HashMap::new();
        loop {
            let next = self.pipeline.clock.now().plus_ms(every_ms);
            tokio::select! {
                () = self.pipeline.clock.sleep_until(next) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            tokio::select! {
                forgotten = self.forget(&mut looks) => match forgotten {
                    Ok(0) => {}
                    Ok(events) => tracing::info!(events, "forgot what is old"),
                    Err(error) => tracing::warn!(%error, "what is old can't be forgotten; trying again"),
                },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn config(&self) -> &RetentionConfig {
        &self.pipeline.config.retention
    }

    /// Deletes old events and payloads of the tenants whose next check is due, then shrinks the database.
    /// Returns the number of changed events.
    async fn forget(&self, looks: &mut HashMap<TenantId, NextLook>) -> Result<usize, StoreError> {
        let now = self.pipeline.clock.now();
        let tenants = self.registry.tenants();
        looks.retain(|id, _| tenants.iter().any(|tenant| tenant.id == *id));
        let mut sum = 0;
        for tenant in &tenants {
            let rules = rules(tenant, self.config());
            let generation = tenant.generation;
            let is_current = |look: &NextLook| {
                look.generation == generation && look.at > now && look.rules == rules
            };
            if looks.get(&tenant.id).is_some_and(is_current) {
                continue;
            }
            match self.forget_of(&tenant.id, &rules, now).await {
                Ok((changed, at)) => {
                    sum += changed;
                    looks.insert(tenant.id.clone(), NextLook { generation, at, rules });
                }
                // The others' events have had their time all the same.
                Err(error) => tracing::warn!(
                    %error, tenant = %tenant.id, "what is old can't be forgotten; trying again"
                ),
            }
        }
        Ok(sum + self.shrink(now).await?)
    }

    /// Deletes what is old of one tenant. Returns the number of changed events, and when to look again.
    async fn forget_of(
        &self,
        tenant: &TenantId,
        rules: &Rules,
        now: Millis,
    ) -> Result<(usize, Millis), StoreError> {
        let oldest = self.oldest(tenant, rules).await?;
        let mut sum = 0;
        for (rule, oldest) in rules.iter().zip(&oldest) {
            let (types, retention) = rule;
            for (what, seconds, oldest) in parts(retention, *oldest) {
                let (Some(before), Some(from)) = (before(now, seconds), oldest) else { continue };
                if from < before {
                    let old = Old { tenant: tenant.clone(), types: types.clone(), before };
                    sum += self.pass(&old, from, what).await?;
                }
            }
        }
        let oldest = if sum > 0 { self.oldest(tenant, rules).await? } else { oldest };
        Ok((sum, next_look(rules, &oldest, now)))
    }

    /// The oldest events that each rule applies to.
    async fn oldest(
        &self,
        tenant: &TenantId,
        rules: &Rules,
    ) -> Result<Vec<Option<Oldest>>, StoreError> {
        let history = &self.pipeline.store.history;
        if let [(types, retention)] = rules.as_slice() {
            // An index tells, without a look at all events.
            let Some(event) = history.oldest_event(tenant, types, false).await? else {
                return Ok(vec![None]);
            };
            let with_data = match kept_ms(retention.payloads_s) {
                Some(_) => history.oldest_event(tenant, types, true).await?,
                None => None,
            };
            return Ok(vec![Some(Oldest { event, with_data })]);
        }
        let known = history.oldest_by_type(tenant).await?;
        Ok(rules.iter().map(|(types, _)| oldest_of(types, &known)).collect())
    }

    /// Runs passes from the oldest event on, until one finds no more.
    async fn pass(&self, old: &Old, mut from: Millis, what: What) -> Result<usize, StoreError> {
        let (store, limit) = (&self.pipeline.store, self.config().batch_max);
        let mut sum = 0;
        loop {
            let Pass { changed, next } = match what {
                What::Events => store.history.delete_old(old, from, limit).await?,
                What::Payloads => store.history.empty_old(old, from, limit).await?,
            };
            sum += changed;
            let Some(next) = next else { return Ok(sum) };
            from = next;
            tokio::time::sleep(REST).await;
        }
    }

    /// Deletes the oldest events until the file is small enough, in batches of one tenant each. A tenant from whose
    /// oldest events none could go, because they are on their way, gives way to the others.
    async fn shrink(&self, now: Millis) -> Result<usize, StoreError> {
        let (store, config) = (&self.pipeline.store, self.config());
        // Smaller batches than by age: the size of the file is known only after each one.
        let few = (config.batch_max / 10).max(1);
        let all = OldTypes::AllBut(Vec::new());
        let mut places = None;
        let mut sum = 0;
        while config.bytes_max > 0
            && store.history.used_bytes().await?.is_some_and(|used| used > config.bytes_max)
        {
            let places = match &mut places {
                Some(places) => places,
                none => none.insert(self.oldest_places(&all).await?),
            };
            let Some(Place { in_vain, from, tenant }) = places.pop_first() else { break };
            let old = Old { tenant, types: all.clone(), before: now };
            let Pass { changed, next } = store.history.delete_old(&old, from, few).await?;
            if let Some(from) = next {
                let in_vain = if changed == 0 { in_vain + 1 } else { 0 };
                places.insert(Place { in_vain, from, tenant: old.tenant });
            }
            sum += changed;
            tokio::time::sleep(REST).await;
        }
        Ok(sum)
    }

    /// The oldest event of each tenant.
    async fn oldest_places(&self, types: &OldTypes) -> Result<BTreeSet<Place>, StoreError> {
        let mut places = BTreeSet::new();
        for tenant in self.registry.tenants() {
            let tenant = tenant.id.clone();
            let oldest = self.pipeline.store.history.oldest_event(&tenant, types, false).await?;
            places.extend(oldest.map(|from| Place { in_vain: 0, from, tenant }));
        }
        Ok(places)
    }
}

/// Where the deletion of a tenant's events goes on; the first one is next.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Batches in a row of which no event could go.
    in_vain: u32,
    /// When the oldest event was accepted that has not been looked at.
    from: Millis,
    tenant: TenantId,
}

/// The retention rules of a tenant: one for each type with its own retention, and one for all others.
fn rules(tenant: &Tenant, config: &RetentionConfig) -> Rules {
    let above =
        RetentionSpec { events_s: Some(config.events_s), payloads_s: Some(config.payloads_s) };
    tenant.read(|state| {
        let of_tenant = state.spec.retention.unwrap_or_default().over(above);
        let catalog = state.profile.types.iter().chain(&state.event_types);
        // The tenant's own types come last, and override the profile's.
        let of_types: BTreeMap<String, RetentionSpec> = catalog
            .filter_map(|(name, known)| Some((name.as_str().to_owned(), known.spec.retention?)))
            .collect();
        let others = OldTypes::AllBut(of_types.keys().cloned().collect());
        let types =
            of_types.into_iter().map(|(name, own)| (OldTypes::Only(name), own.over(of_tenant)));
        types.chain([(others, of_tenant)]).collect()
    })
}

/// The oldest events of some types.
fn oldest_of(types: &OldTypes, known: &HashMap<String, Oldest>) -> Option<Oldest> {
    let is_meant = |name: &str| match types {
        OldTypes::Only(only) => only == name,
        OldTypes::AllBut(names) => !names.iter().any(|other| other == name),
    };
    let meant = known.iter().filter(|(name, _)| is_meant(name)).map(|(_, oldest)| *oldest);
    meant.reduce(|one, other| Oldest {
        event: one.event.min(other.event),
        with_data: one.with_data.into_iter().chain(other.with_data).min(),
    })
}

/// What is kept for how long by a rule, and the oldest of it.
fn parts(
    retention: &RetentionSpec,
    oldest: Option<Oldest>,
) -> [(What, Option<u64>, Option<Millis>); 2] {
    [
        (What::Events, retention.events_s, oldest.map(|oldest| oldest.event)),
        (What::Payloads, retention.payloads_s, oldest.and_then(|oldest| oldest.with_data)),
    ]
}

/// When the oldest remaining event expires; later events expire later.
fn next_look(rules: &Rules, oldest: &[Option<Oldest>], now: Millis) -> Millis {
    let mut at = now.plus_ms(LOOK_AGAIN_MS);
    for ((_, retention), oldest) in rules.iter().zip(oldest) {
        for (_, seconds, oldest) in parts(retention, *oldest) {
            if kept_ms(seconds).is_some() {
                at = at.min(old_at(oldest, seconds, now));
            }
        }
    }
    at
}

/// Retention in milliseconds; none: kept forever.
fn kept_ms(seconds: Option<u64>) -> Option<i64> {
    let seconds = seconds.filter(|seconds| *seconds > 0)?;
    Some(i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX))
}

/// Events accepted before this time have expired; none: they are kept forever.
fn before(now: Millis, seconds: Option<u64>) -> Option<Millis> {
    Some(now.plus_ms(-kept_ms(seconds)?))
}

/// When the oldest event expires; without one, when an event accepted now would.
fn old_at(oldest: Option<Millis>, seconds: Option<u64>, now: Millis) -> Millis {
    oldest.unwrap_or(now).plus_ms(kept_ms(seconds).unwrap_or(LOOK_AGAIN_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_due_when_the_oldest_event_has_had_its_time() {
        let now = Millis(1_000_000);
        assert_eq!(old_at(Some(Millis(400_000)), Some(700), now), Millis(1_100_000));
        assert_eq!(old_at(Some(Millis(400_000)), Some(500), now), Millis(900_000), "at once");
        assert_eq!(old_at(None, Some(60), now), Millis(1_060_000), "what comes now");
        assert_eq!(old_at(None, None, now), now.plus_ms(LOOK_AGAIN_MS), "kept for ever");
        assert_eq!(before(now, Some(60)), Some(Millis(940_000)));
        assert_eq!((before(now, Some(0)), before(now, None)), (None, None));
    }
}
