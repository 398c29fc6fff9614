//! Overrides of the limits for single plugins.

use serde::{Deserialize, Serialize};

use super::{HostError, Limits, PoolName};

/// Limits that the operator sets for one plugin, lower or higher than for all others. If several
/// entries match a plugin, the last one wins, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Override {
    /// The plugin's name; covers all its versions.
    pub plugin: String,
    /// The tenant whose plugin it is; if left out, every tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_time_ms: Option<u64>,
    /// More than the small pool allows moves the plugin to the large one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes_max: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes_max: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_lines_max: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_bytes_max: Option<usize>,
    /// Concurrent calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances_max: Option<u32>,
}

impl Override {
    pub(super) fn check(&self, limits: &Limits) -> Result<(), HostError> {
        let within = |name, value: Option<u64>, least: u64, most: u64| match value {
            Some(value) if !(least..=most).contains(&value) => {
                Err(HostError::Override { plugin: self.plugin.clone(), name, value, least, most })
            }
            _ => Ok(()),
        };
        let bytes = |value: Option<usize>| value.map(|value| value as u64);
        within("call_time_ms", self.call_time_ms, 1, limits.override_call_time_ms_max)?;
        let memory_most = limits.large_memory_bytes_max as u64;
        within("memory_bytes_max", bytes(self.memory_bytes_max), 1 << 16, memory_most)?;
        let output_most = limits.override_output_bytes_max as u64;
        within("output_bytes_max", bytes(self.output_bytes_max), 1, output_most)?;
        let lines_most = limits.override_log_lines_max as u64;
        within("log_lines_max", bytes(self.log_lines_max), 0, lines_most)?;
        let log_most = limits.override_log_bytes_max as u64;
        within("log_bytes_max", bytes(self.log_bytes_max), 0, log_most)?;
        let instances_most = limits.instances_max.max(limits.large_instances_max).into();
        within("instances_max", self.instances_max.map(Into::into), 1, instances_most)
    }

    fn is_for(&self, tenant: &str, plugin: &str) -> bool {
        self.plugin == plugin && self.tenant.as_ref().is_none_or(|only| only == tenant)
    }
}

impl Limits {
    /// Whether an override sets more memory than the small pool allows.
    pub(super) fn needs_large_pool(&self, tenant: &str, plugin: &str) -> bool {
        let of = self.overrides.iter().filter(|one| one.is_for(tenant, plugin));
        let last = of.filter_map(|one| one.memory_bytes_max).next_back();
        last.is_some_and(|bytes| bytes > self.memory_bytes_max)
    }

    /// The limits of one plugin in its pool.
    pub(super) fn of_plugin(&self, pool: PoolName, tenant: &str, plugin: &str) -> Limits {
        let mut limits = self.clone();
        let pool_bytes = self.pool_memory_bytes(pool);
        let pool_instances = self.pool_instances(pool);
        limits.memory_bytes_max = pool_bytes;
        limits.instances_per_plugin_max =
            self.instances_per_plugin_max.min(pool_instances.div_ceil(2));
        for one in self.overrides.iter().filter(|one| one.is_for(tenant, plugin)) {
            limits.call_time_ms = one.call_time_ms.unwrap_or(limits.call_time_ms);
            let memory = one.memory_bytes_max.unwrap_or(limits.memory_bytes_max);
            limits.memory_bytes_max = memory.min(pool_bytes);
            limits.output_bytes_max = one.output_bytes_max.unwrap_or(limits.output_bytes_max);
            limits.log_lines_max = one.log_lines_max.unwrap_or(limits.log_lines_max);
            limits.log_bytes_max = one.log_bytes_max.unwrap_or(limits.log_bytes_max);
            let instances = one.instances_max.unwrap_or(limits.instances_per_plugin_max);
            limits.instances_per_plugin_max = instances.min(pool_instances);
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_for_a_plugin_counts_up_to_the_ceiling() {
        let overrides = serde_json::from_str(
            r#"[{"plugin": "slow", "call_time_ms": 500, "log_lines_max": 5},
                {"plugin": "slow", "tenant": "acme", "call_time_ms": 2000, "memory_bytes_max": 33554432}]"#,
        );
        let limits = Limits { overrides: overrides.unwrap(), ..Limits::default() };
        limits.check().unwrap();
        let acme = limits.of_plugin(PoolName::Large, "acme", "slow");
        assert_eq!(
            (acme.call_time_ms, acme.log_lines_max, acme.memory_bytes_max),
            (2_000, 5, 32 << 20)
        );
        assert!(
            limits.needs_large_pool("acme", "slow") && !limits.needs_large_pool("other", "slow")
        );
        let other = limits.of_plugin(PoolName::Small, "other", "slow");
        assert_eq!((other.call_time_ms, other.memory_bytes_max), (500, 16 << 20));
        assert_eq!(limits.of_plugin(PoolName::Small, "acme", "fast").call_time_ms, 100);

        let one =
            Override { plugin: "slow".into(), call_time_ms: Some(60_000), ..Override::default() };
        let error = Limits { overrides: vec![one], ..Limits::default() }.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "plugins: overrides: call_time_ms of slow is 60000, it must be from 1 to 10000"
        );
    }
}
