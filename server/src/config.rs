//! Every setting and limit. A setting is written once, here, with its default and its
//! explanation; the file, the environment, `--help` and the documentation come from that.

mod own_urls;
mod settings;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub use self::settings::{
    DeliveryConfig, IntakeConfig, LoopsConfig, RejectionsConfig, ReplayConfig, RetentionConfig,
    ServerConfig, Setting, StoreConfig, TenantConfig, WorkConfig,
};

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: ServerConfig,
    pub intake: IntakeConfig,
    pub work: WorkConfig,
    pub loops: LoopsConfig,
    pub delivery: DeliveryConfig,
    pub store: StoreConfig,
    pub tenant: TenantConfig,
    pub rejections: RejectionsConfig,
    pub replay: ReplayConfig,
    pub retention: RetentionConfig,
    pub plugins: crate::plugin::Limits,
    pub templates: antar_template::Limits,
}

/// What is wrong with the configuration, and where it was said.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration file {0} can't be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    #[error("{place}: {detail}")]
    Wrong { place: String, detail: String },
}

impl Config {
    /// Defaults, then `file`, then `environment` (`ANTAR_GROUP_NAME`); flags come after.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let mut config = match file {
            None => Config::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| ConfigError::Unreadable(path.to_owned(), e))?;
                serde_saphyr::from_str(&text).map_err(|e| ConfigError::Wrong {
                    place: path.display().to_string(),
                    detail: e.to_string(),
                })?
            }
        };
        for (name, value) in environment {
            config.set_from_environment(&name, &value)?;
        }
        config.check()?;
        Ok(config)
    }

    /// Every setting with explanation and default, in order.
    #[must_use]
    pub fn settings() -> Vec<Setting> {
        let mut all = Vec::new();
        ServerConfig::explain("server", &mut all);
        IntakeConfig::explain("intake", &mut all);
        WorkConfig::explain("work", &mut all);
        LoopsConfig::explain("loops", &mut all);
        DeliveryConfig::explain("delivery", &mut all);
        StoreConfig::explain("store", &mut all);
        TenantConfig::explain("tenant", &mut all);
        RejectionsConfig::explain("rejections", &mut all);
        ReplayConfig::explain("replay", &mut all);
        RetentionConfig::explain("retention", &mut all);
        all
    }

    /// The variable of a setting: `ANTAR_INTAKE_BODY_BYTES_MAX`. The server's own group is left
    /// out: `ANTAR_DATA_DIR`.
    #[must_use]
    pub fn variable(path: &str) -> String {
        let path = path.strip_prefix("server.").unwrap_or(path);
        format!("ANTAR_{}", path.replace('.', "_").to_uppercase())
    }

    fn set_from_environment(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let mut json = serde_json::to_value(&*self).unwrap_or_default();
        let leaves = json.as_object().into_iter().flatten().flat_map(|(group, fields)| {
            let fields = fields.as_object().into_iter().flatten();
            fields.map(move |(field, _)| (group.clone(), field.clone()))
        });
        let leaf = leaves.collect::<Vec<_>>().into_iter();
        let mut leaf =
            leaf.filter(|(group, field)| Config::variable(&format!("{group}.{field}")) == name);
        // Others, such as ANTAR_URL of the command line, are not ours.
        let Some((group, field)) = leaf.next() else { return Ok(()) };
        let place = &mut json[group.as_str()][field.as_str()];
        *place = match place {
            Json::String(_) => value.into(),
            _ => serde_json::from_str(value).unwrap_or_else(|_| value.into()),
        };
        *self = serde_json::from_value(json).map_err(|e| ConfigError::Wrong {
            place: name.to_owned(),
            detail: format!("`{value}`: {e}"),
        })?;
        Ok(())
    }

    /// Refuses what can't work, naming the setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |place: &str, detail: &str| {
            Err(ConfigError::Wrong { place: place.to_owned(), detail: detail.to_owned() })
        };
        let url = &self.server.database_url;
        if !url.is_empty() && !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return wrong("server.database_url", "begins with postgres://, or is empty for SQLite");
        }
        if !matches!(self.server.log_format.as_str(), "" | "pretty" | "json") {
            return wrong("server.log_format", "is `pretty`, `json` or empty");
        }
        let zero = [
            ("server.connections_max", self.server.connections_max == 0),
            ("server.connections_per_address_max", self.server.connections_per_address_max == 0),
            ("server.write_timeout_ms", self.server.write_timeout_ms == 0),
            ("server.log_field_characters_max", self.server.log_field_characters_max == 0),
            ("server.log_lines_per_minute_max", self.server.log_lines_per_minute_max == 0),
            ("intake.body_timeout_ms", self.intake.body_timeout_ms == 0),
            ("intake.body_bytes_max", self.intake.body_bytes_max == 0),
            ("intake.depth_max", self.intake.depth_max == 0),
            ("intake.events_max", self.intake.events_max == 0),
            ("work.waiting_max", self.work.waiting_max == 0),
            ("work.waiting_per_tenant_max", self.work.waiting_per_tenant_max == 0),
            ("intake.fanout_bytes_max", self.intake.fanout_bytes_max == 0),
            ("delivery.in_flight_max", self.delivery.in_flight_max == 0),
            ("delivery.slow_in_flight_max", self.delivery.slow_in_flight_max == 0),
            ("delivery.in_flight_per_webhook_max", self.delivery.in_flight_per_webhook_max == 0),
            ("delivery.queue_max", self.delivery.queue_max == 0),
            ("delivery.queue_bytes_max", self.delivery.queue_bytes_max == 0),
            ("delivery.queue_per_webhook_max", self.delivery.queue_per_webhook_max == 0),
            ("delivery.claim_max", self.delivery.claim_max == 0),
            ("delivery.lookups_max", self.delivery.lookups_max == 0),
            ("delivery.lookups_per_tenant_max", self.delivery.lookups_per_tenant_max == 0),
            ("delivery.lookup_timeout_ms", self.delivery.lookup_timeout_ms == 0),
            ("delivery.lookup_threads_max", self.delivery.lookup_threads_max == 0),
            ("store.readers_max", self.store.readers_max == 0),
            ("store.commit_batch_max", self.store.commit_batch_max == 0),
            ("store.commit_queue_max", self.store.commit_queue_max == 0),
            ("store.commit_rows_max", self.store.commit_rows_max == 0),
            ("tenant.page_max", self.tenant.page_max == 0),
            ("tenant.page_bytes_max", self.tenant.page_bytes_max == 0),
            ("tenant.revisions_max", self.tenant.revisions_max == 0),
            ("tenant.compiles_max", self.tenant.compiles_max == 0),
            ("tenant.changes_waiting_max", self.tenant.changes_waiting_max == 0),
            ("replay.open_max", self.replay.open_max == 0),
            ("retention.batch_max", self.retention.batch_max == 0),
            ("delivery.poll_ms", self.delivery.poll_ms == 0),
            ("retention.every_ms", self.retention.every_ms == 0),
            ("store.answer_timeout_ms", self.store.answer_timeout_ms == 0),
            ("store.lease_ms", self.store.lease_ms <= 0),
        ];
        if let Some((name, _)) = zero.iter().find(|(_, is_zero)| *is_zero) {
            return wrong(name, "is 1 or more");
        }
        if !matches!(self.delivery.resolver.as_str(), "async" | "system") {
            return wrong("delivery.resolver", "is `async` or `system`");
        }
        if self.store.commit_wait_us > 100_000 {
            return wrong("store.commit_wait_us", "is at most 100000");
        }
        if self.delivery.timeout_ms == 0 || self.delivery.timeout_ms > self.delivery.timeout_ms_max
        {
            return wrong(
                "delivery.timeout_ms",
                "is at least 1 and at most delivery.timeout_ms_max",
            );
        }
        if self.replay.pace_per_s == 0 || self.replay.pace_per_s > self.replay.pace_per_s_max {
            return wrong("replay.pace_per_s", "is at least 1 and at most replay.pace_per_s_max");
        }
        self.plugins.check().or_else(|e| wrong("plugins", &e.to_string()))
    }
}
