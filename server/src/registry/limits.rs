//! Limits of what one tenant may configure. Only what grows is refused: what was saved under earlier limits
//! goes on, and may be made smaller step by step.

use super::compile::{AtSave, Check};
use super::{ChangeError, Registry};
use crate::model::{Invalid, WebhookSpec};
use crate::pipeline::compiled::tenant::{Tenant, TenantState};

impl Registry {
    /// Refuses one more of something of which a tenant has `count`. `max` is the setting `tenant.SETTING`.
    pub(super) fn check_count(
        count: usize,
        things: &str,
        (setting, max): (&str, usize),
    ) -> Result<(), ChangeError> {
        if count < max {
            return Ok(());
        }
        Err(ChangeError::Conflict(format!(
            "a tenant has {max} {things} at most (tenant.{setting}); delete one first"
        )))
    }

    /// Refuses a change that brings the estimated memory of a tenant's configuration above its limit.
    /// `before` and `after` are those of the thing that changes.
    pub(super) fn check_bytes(
        &self,
        state: &TenantState,
        before: usize,
        after: usize,
    ) -> Result<(), ChangeError> {
        let max = self.config.tenant.configuration_bytes_max;
        let total = (state.bytes() + after).saturating_sub(before);
        if after <= before || total <= max {
            return Ok(());
        }
        Err(ChangeError::Conflict(format!(
            "with this the tenant's configuration would take about {total} bytes of memory, {max} are allowed \
             (tenant.configuration_bytes_max); delete something first"
        )))
    }

    /// Warns of what a tenant has beyond today's limits. It goes on, and may not grow.
    pub(super) fn warn_of_limits(&self, tenant: &Tenant) {
        let config = &self.config.tenant;
        let sizes = tenant.read(|state| {
            let versions = state.plugins.values().map(|versions| versions.len());
            [
                ("webhooks_max", state.webhooks().len(), config.webhooks_max),
                ("event_types_max", state.event_types.len(), config.event_types_max),
                ("secrets_max", state.secrets.len(), config.secrets_max),
                ("sources_max", state.sources.len(), config.sources_max),
                ("plugin_versions_max", versions.sum(), config.plugin_versions_max),
                ("configuration_bytes_max", state.bytes(), config.configuration_bytes_max),
            ]
        });
        for (setting, size, max) in sizes.into_iter().filter(|(_, size, max)| size > max) {
            tracing::warn!(tenant = %tenant.id, size, max, "above tenant.{setting}; it goes on as it is");
        }
    }

    /// Refuses settings whose JSON is too long, unless they replace longer ones.
    pub(super) fn check_settings(&self, stored: &str, before: Option<&str>) -> Result<(), Invalid> {
        let max = self.config.tenant.settings_bytes_max;
        let bytes = stored.len();
        if bytes <= max || before.is_some_and(|before| bytes <= before.len()) {
            return Ok(());
        }
        let detail = format!(
            "the settings have {bytes} bytes as JSON, {max} are allowed (tenant.settings_bytes_max)"
        );
        Err(Invalid::at("", detail))
    }
}

impl Check<'_> {
    /// Checks how many entries the lists have.
    pub(super) fn counts(&mut self, spec: &WebhookSpec) {
        let Some(AtSave { before, .. }) = self.around.at_save else { return };
        let config = &self.around.config.tenant;
        let signers = |spec: &WebhookSpec| spec.signers.as_ref().map_or(0, Vec::len);
        let before = |count: &dyn Fn(&WebhookSpec) -> usize| before.map_or(0, count);
        let lists = [
            (
                ("/event_types", "types_per_webhook_max", config.types_per_webhook_max),
                (spec.event_types.len(), before(&|spec| spec.event_types.len())),
            ),
            (
                ("/plugins", "plugins_per_webhook_max", config.plugins_per_webhook_max),
                (spec.plugins.len(), before(&|spec| spec.plugins.len())),
            ),
            (
                ("/headers", "headers_max", config.headers_max),
                (spec.headers.len(), before(&|spec| spec.headers.len())),
            ),
            (
                ("/signers", "signers_per_webhook_max", config.signers_per_webhook_max),
                (signers(spec), before(&signers)),
            ),
        ];
        for ((pointer, setting, max), (count, before)) in lists {
            if count > max && count > before {
                self.error(pointer, format!("has {max} entries at most (tenant.{setting})"));
            }
        }
    }

    pub(super) fn limits(&mut self, spec: &WebhookSpec) {
        if spec.limits.in_flight_max == Some(0) {
            self.error(
                "/limits/in_flight_max",
                "is 1 or more; to stop deliveries, pause the webhook",
            );
        }
        if spec.limits.rate_per_s.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            self.error("/limits/rate_per_s", "is above 0; to stop deliveries, pause the webhook");
        }
    }
}
