//! Plugins as settings and lists refer to them. The host that runs them is in the module `plugin`.

use antar_json::Document;
use serde::{Deserialize, Serialize};

use super::{Millis, PluginName};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    Filter,
    Transform,
}

/// What a failed call (`retry`, a trap, a time-out) does to the delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Counts as an attempt; tried again by the schedule.
    #[default]
    Retry,
    /// As if the plugin were not there.
    Skip,
    /// The delivery ends as dropped.
    Drop,
    /// The delivery ends as failed.
    Fail,
}

/// What a failed call does to an event at intake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IntakeOnError {
    /// 503 with `Retry-After`: the poster tries again.
    #[default]
    Reject,
    Skip,
    /// 202; id, type and reason are stored, the data is not.
    Drop,
}

/// A plugin in a webhook.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginUse {
    /// `by-label` (the newest version) or `by-label@3`.
    pub plugin: String,
    /// Given to every call. `{"$secret": "NAME"}` stands for a secret's value.
    #[serde(default = "Document::empty_object")]
    #[schema(value_type = Object)]
    pub config: Document,
    #[serde(default)]
    pub on_error: OnError,
}

/// A plugin that sees every event of a tenant before it is routed or stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntakePlugin {
    pub plugin: String,
    #[serde(default = "Document::empty_object")]
    #[schema(value_type = Object)]
    pub config: Document,
    #[serde(default)]
    pub on_error: IntakeOnError,
}

/// Whether a version can be called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PluginState {
    /// Taken, and not compiled yet.
    Compiling,
    Ready,
    /// It can't be compiled; `error` says why. Upload another version.
    Failed,
}

/// Where instances of a plugin are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PluginPool {
    /// Little memory, many slots: compiled languages.
    Small,
    /// Much memory, few slots: interpreters.
    Large,
}

/// One immutable version of an uploaded plugin.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct PluginMeta {
    pub name: PluginName,
    /// Counts from 1.
    pub version: u32,
    pub kind: PluginKind,
    /// SHA-256 of the uploaded bytes, hex.
    pub digest: String,
    pub size_bytes: u64,
    pub description: String,
    /// JSON Schema of the config; null for none.
    #[schema(value_type = Option<Object>)]
    pub config_schema: Option<Document>,
    pub state: PluginState,
    /// Why it failed; null otherwise.
    pub error: Option<String>,
    /// Null until it is ready.
    pub pool: Option<PluginPool>,
    /// Names of what it asks for.
    pub imports: Vec<String>,
    /// Names of what it offers.
    pub exports: Vec<String>,
    /// What one call took at upload, on an example of the tenant's catalog and without a config,
    /// in microseconds; null when it failed on that.
    pub call_us: Option<u64>,
    pub created_at: Millis,
}
