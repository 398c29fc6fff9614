//! A plugin that can be called.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{
    Limits, Pause, PoolName, Survey, bindings::types::About, breaker::Breaker, compile::Entry,
    figures::Figures,
};

/// The two kinds of plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Says pass or drop.
    Filter,
    /// Returns new data, or drops.
    Transform,
}

/// A compiled plugin of one tenant. Cloning it copies a pointer. It can be called by the host that
/// made it.
#[derive(Clone)]
pub struct Plugin(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) code: Arc<Code>,
    /// As the operator allows this plugin.
    pub(super) limits: Limits,
    /// Calls at once.
    pub(super) slots: Semaphore,
    pub(super) breaker: Breaker,
    pub(super) figures: Figures,
}

/// What is the same for all tenants that uploaded the same file.
pub(super) struct Code {
    pub(super) entry: Entry,
    pub(super) pool: PoolName,
    pub(super) survey: Survey,
    pub(super) digest: String,
    pub(super) size_bytes: u64,
    pub(super) about: About,
    pub(super) config: Option<jsonschema::Validator>,
}

/// One thing that is wrong in a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// JSON pointer into the config.
    pub pointer: String,
    pub detail: String,
}

impl Plugin {
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.code.survey.kind
    }

    /// SHA-256 of the uploaded bytes, in hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.0.code.digest
    }

    #[must_use]
    pub fn description(&self) -> &str {
        &self.0.code.about.description
    }

    /// JSON Schema text of the config, if the plugin gives one.
    #[must_use]
    pub fn config_schema(&self) -> Option<&str> {
        Some(self.0.code.about.config_schema.as_str()).filter(|schema| !schema.is_empty())
    }

    /// Of the file as it was uploaded.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.0.code.size_bytes
    }

    #[must_use]
    pub fn pool(&self) -> PoolName {
        self.0.code.pool
    }

    /// What it imports and exports.
    #[must_use]
    pub fn survey(&self) -> &Survey {
        &self.0.code.survey
    }

    /// Why it is not called at the moment.
    #[must_use]
    pub fn pause(&self) -> Option<Pause> {
        self.0.breaker.pause()
    }

    /// What its schema has against a config. Without a schema, nothing.
    #[must_use]
    pub fn config_errors(&self, config: &serde_json::Value) -> Vec<ConfigError> {
        let Some(validator) = &self.0.code.config else { return Vec::new() };
        let error = |e: jsonschema::ValidationError<'_>| ConfigError {
            pointer: e.instance_path().to_string(),
            detail: e.to_string(),
        };
        validator.iter_errors(config).map(error).collect()
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plugin({:?}, {})", self.kind(), self.digest())
    }
}
