//! Rights of keys: what of a tenant's settings is the operator's, and whom it tells when a right may have ended.

use std::sync::Arc;

use tokio::sync::watch;

use super::{ChangeError, Registry};
use crate::model::{ApiKey, EventTypeSpec, RetentionSpec, TenantId, TenantSpec};
use crate::pipeline::compiled::tenant::Tenant;

/// Whose key changes something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    Operator,
    /// The tenant itself: what is the operator's it can't change.
    Tenant,
}

impl By {
    #[must_use]
    pub fn key(key: &ApiKey) -> By {
        if key.tenant.is_some() { By::Tenant } else { By::Operator }
    }
}

impl Registry {
    /// Whether this is still the tenant of its id: neither deleted, nor deleted and created anew.
    #[must_use]
    pub fn tenant_stands(&self, tenant: &Arc<Tenant>) -> bool {
        self.tenants.read().get(&tenant.id).is_some_and(|current| Arc::ptr_eq(current, tenant))
    }

    /// Wakes whoever depends on a key or a tenant when one may be gone.
    #[must_use]
    pub fn rights(&self) -> watch::Receiver<()> {
        self.rights.subscribe()
    }

    pub(super) fn rights_changed(&self) {
        self.rights.send_replace(());
    }

    /// Settings by a tenant's own key with the members that are the operator's, and the settings that these
    /// are from.
    pub(super) fn with_operators_word(
        &self,
        id: &TenantId,
        mut spec: TenantSpec,
    ) -> Result<(TenantSpec, Option<TenantSpec>), ChangeError> {
        let known = self.tenant(id).ok_or(ChangeError::NotFound("tenant"))?;
        let known = known.read(|state| state.spec.clone());
        self.keep_operators_word(&known, &mut spec)?;
        Ok((spec, Some(known)))
    }

    /// Settings by a tenant's own key: the operator's members stay, and a retention is none that the operator
    /// would have to permit.
    fn keep_operators_word(
        &self,
        known: &TenantSpec,
        spec: &mut TenantSpec,
    ) -> Result<(), ChangeError> {
        let only = |member: &str, stands: String| {
            ChangeError::OperatorOnly(format!(
                "`/{member}` is the operator's to set, and is {stands}; leave it out, or ask the operator"
            ))
        };
        if spec.weight.is_some_and(|weight| weight != known.weight()) {
            return Err(only("weight", known.weight().to_string()));
        }
        if spec.retention_max.is_some() && spec.retention_max != known.retention_max {
            let stands = serde_json::to_string(&known.retention_max()).unwrap_or_default();
            return Err(only("retention_max", stands));
        }
        (spec.weight, spec.retention_max) = (known.weight, known.retention_max);
        if spec.retention != known.retention {
            let operators = known.retention_max();
            spec.retention_max = Some(operators);
            let own = spec.retention.unwrap_or_default().over(operators);
            self.check_retention("/retention", own, operators)?;
            spec.retention = Some(own).filter(|own| *own != RetentionSpec::default());
        }
        Ok(())
    }

    /// Refuses a retention of one of the tenant's own event types that only the operator may set.
    pub fn check_type_retention(
        &self,
        tenant: &Tenant,
        spec: &EventTypeSpec,
    ) -> Result<(), ChangeError> {
        let (known, operators) = tenant.read(|state| {
            let known = state.event_types.get(&spec.name).and_then(|known| known.spec.retention);
            (known, state.spec.retention_max())
        });
        match spec.retention.filter(|own| known != Some(*own)) {
            Some(own) => self.check_retention("/retention", own, operators),
            None => Ok(()),
        }
    }

    fn check_retention(
        &self,
        pointer: &str,
        own: RetentionSpec,
        operators: RetentionSpec,
    ) -> Result<(), ChangeError> {
        let config = &self.config.retention;
        let configured =
            RetentionSpec { events_s: Some(config.events_s), payloads_s: Some(config.payloads_s) };
        match own.beyond(operators.over(configured)) {
            None => Ok(()),
            Some((member, most)) => Err(ChangeError::OperatorOnly(format!(
                "`{pointer}/{member}` may be at most {most} seconds with a key of the tenant; to keep events \
                 longer, ask the operator to raise the tenant's `retention`"
            ))),
        }
    }
}
