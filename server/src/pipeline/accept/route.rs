//! Checks and routes an event: all that is computed between the intake plugins and the commit.
//!
//! How much work that is depends on the tenant's rules, facets, schemas and keys and on the event. Most events
//! need few steps, which are taken at once. An event that needs more is routed again, on the work pool and with
//! the full budget.

use std::sync::Arc;

use antar_json::{OutOfSteps, Steps};

use super::event_schema::follows_schema;
use super::learn_facets::{Learned, learn};
use super::new_deliveries::Target;
use super::ordering_keys::keys_of;
use crate::config::Config;
use crate::model::{Event, Invalid, Millis};
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;

/// Where an event goes.
pub(crate) struct Route {
    /// It follows its type's schema.
    pub(crate) schema_ok: bool,
    /// By age of the webhook.
    pub(crate) targets: Vec<Target>,
    pub(crate) learned: Vec<Learned>,
}

/// Routes an event that needs few steps. An event with much data is not tried.
///
/// # Errors
/// [`OutOfSteps`]: nothing is known about the event.
pub(crate) fn route_at_once(
    tenant: &Tenant,
    event: &Event,
    config: &Config,
    now: Millis,
    steps: &Steps,
) -> Result<Result<Route, Invalid>, OutOfSteps> {
    if event.data().raw().len() > config.work.bytes_at_once_max {
        return Err(OutOfSteps);
    }
    let schema_ok = match follows_schema(tenant, event, steps)? {
        Ok(schema_ok) => schema_ok,
        Err(invalid) => return Ok(Err(invalid)),
    };
    let routed = tenant.route(event, steps, u64::MAX);
    if !routed.undecided.is_empty() {
        return Err(OutOfSteps);
    }
    let learned = learn(tenant, event, &routed.wanted, config.tenant.facet_values_max, steps)?;
    let target = |webhook: Arc<Webhook>| {
        let keys = keys_of(&webhook, event, now, steps)?;
        Ok(Target::wanted(webhook, keys))
    };
    let targets = routed.wanted.into_iter().map(target).collect::<Result<_, OutOfSteps>>()?;
    Ok(Ok(Route { schema_ok, targets, learned }))
}

/// Routes any event. Webhooks for which the budget does not suffice are undecided targets.
pub(crate) fn route_fully(
    tenant: &Tenant,
    event: &Event,
    config: &Config,
    now: Millis,
) -> Result<Route, Invalid> {
    // A schema has a budget of its own.
    let schema_ok = follows_schema(tenant, event, &Steps::unlimited()).unwrap_or(Ok(false))?;
    let steps = Steps::new(config.intake.route_steps_max);
    let routed = tenant.route(event, &steps, config.intake.rule_steps_max);
    let values_max = config.tenant.facet_values_max;
    // Not to learn values is no loss that anybody waits for.
    let learned = learn(tenant, event, &routed.wanted, values_max, &steps).unwrap_or_default();
    let wanted =
        routed.wanted.into_iter().map(|webhook| match keys_of(&webhook, event, now, &steps) {
            Ok(keys) => Target::wanted(webhook, keys),
            Err(OutOfSteps) => Target::undecided(webhook),
        });
    let targets = wanted.chain(routed.undecided.into_iter().map(Target::undecided)).collect();
    Ok(Route { schema_ok, targets, learned })
}
