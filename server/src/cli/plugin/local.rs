//! The server's host of plugins, in this process.

use std::path::Path;

use anyhow::Context;

use crate::plugin::{Call, CallReport, Host, Limits, Owner, Place, Plugin, UploadError};

/// Calls come one after another; each slot costs address space alone.
const INSTANCES: u32 = 4;

/// A plugin that can be called here, with the limits that a server has by default.
pub(super) struct Local {
    pub(super) host: Host,
    pub(super) plugin: Plugin,
}

/// An event to call a plugin with.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) event_type: String,
    pub(super) tenant: String,
    pub(super) timestamp: String,
    pub(super) attributes: Vec<(String, String)>,
    /// JSON text of an object.
    pub(super) data: String,
}

impl Event {
    /// With something plausible everywhere else, as the SDKs' tests have it.
    pub(super) fn with_data(data: impl Into<String>) -> Event {
        Event {
            id: "01997c5a-0000-7000-8000-000000000001".into(),
            event_type: "test.event".into(),
            tenant: "default".into(),
            timestamp: "2026-03-10T12:00:00.000Z".into(),
            attributes: Vec::new(),
            data: data.into(),
        }
    }
}

impl Local {
    /// Compiles a file as an upload is.
    pub(super) async fn load(file: &Path) -> anyhow::Result<Local> {
        let named = || file.display().to_string();
        let wasm = std::fs::read(file).with_context(named)?;
        Local::of(wasm).await?.with_context(named)
    }

    /// The same with a file's bytes. The outer error is of this machine, not of the file.
    pub(super) async fn of(wasm: Vec<u8>) -> anyhow::Result<Result<Local, UploadError>> {
        let limits = Limits {
            instances_max: INSTANCES,
            large_instances_max: INSTANCES,
            // Checks make it fail on purpose.
            breaker_failures_max: 0,
            ..Limits::default()
        };
        let host = Host::new(limits)?;
        let plugin = host.compile(wasm.into(), &Owner::default()).await;
        Ok(plugin.map(|plugin| Local { host, plugin }))
    }

    pub(super) async fn call(&self, event: &Event, config: &str, place: Place) -> CallReport {
        let call = Call {
            id: &event.id,
            event_type: &event.event_type,
            tenant: &event.tenant,
            timestamp: &event.timestamp,
            attributes: &event.attributes,
            data: &event.data,
            config,
            place,
        };
        self.host.call(&self.plugin, call).await
    }

    /// What the plugin's schema has against a config, as sentences.
    pub(super) fn config_errors(&self, config: &antar_json::Document) -> Vec<String> {
        let errors = self.plugin.config_errors(&config.root().to_serde()).into_iter();
        errors.map(|error| format!("config{}: {}", error.pointer, error.detail)).collect()
    }
}
