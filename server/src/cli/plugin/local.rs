//! The server's plugin host, in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::build::progress;
use crate::cli::offline::options::environment;
use crate::config::Config;
use crate::plugin::{
    Call, CallReport, CompileIn, Host, HostError, Limits, Now, Owner, Place, Plugin, UploadError,
};

/// A compilation that takes longer is announced.
const SILENT_MS: u64 = 1_500;

/// A compiled plugin that can be called locally, with the limits of a server started in this
/// environment.
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
    /// An event with this data and plausible other members, the same as in the SDKs' tests.
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
    /// Compiles a file like an upload.
    pub(super) async fn load(file: &Path) -> anyhow::Result<Local> {
        let named = || file.display().to_string();
        let wasm = std::fs::read(file).with_context(named)?;
        Local::of(wasm).await?.with_context(named)
    }

    /// Compiles a file's bytes. The outer error is a failure of this machine, the inner one of the
    /// file.
    pub(super) async fn of(wasm: Vec<u8>) -> anyhow::Result<Result<Local, UploadError>> {
        let host = host()?;
        let plugin = compile(&host, wasm).await;
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

    /// Errors of a config against the plugin's schema, as sentences.
    pub(super) fn config_errors(&self, config: &antar_json::Document) -> Vec<String> {
        let errors = self.plugin.config_errors(&config.root().to_serde()).into_iter();
        errors.map(|error| format!("config{}: {}", error.pointer, error.detail)).collect()
    }
}

/// A host for one call at a time, which caches compiled code for the next command.
fn host() -> anyhow::Result<Host> {
    let limits = Limits {
        instances_max: 1,
        compiles_max: 1,
        // The user is waiting and can interrupt it.
        compile_time_ms: 600_000,
        cache_bytes_max: 512 << 20,
        // Checks make the plugin fail on purpose.
        breaker_failures_max: 0,
        ..Config::load(None, environment())?.plugins
    };
    let now: Now = Arc::new(|| 0);
    if let Some(folder) = cache_folder() {
        match Host::open(limits.clone(), CompileIn::ThisProcess, Some(&folder), now.clone()) {
            Err(HostError::Cache(error)) => {
                progress(&format!("{}: compiled code is not kept: {error}", folder.display()));
            }
            opened => return Ok(opened?),
        }
    }
    Ok(Host::open(limits, CompileIn::ThisProcess, None, now)?)
}

/// Compiles like the server, and prints a message if it takes long.
async fn compile(host: &Host, wasm: Vec<u8>) -> Result<Plugin, UploadError> {
    let owner = Owner::default();
    let compiled = host.compile(wasm.into(), &owner);
    tokio::pin!(compiled);
    let quickly = tokio::time::timeout(Duration::from_millis(SILENT_MS), &mut compiled).await;
    if let Ok(compiled) = quickly {
        return compiled;
    }
    progress("compiling it to machine code, once for each build of the plugin");
    compiled.await
}

/// The platform's folder for caches.
fn cache_folder() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let caches = if cfg!(target_os = "macos") {
        var("HOME").map(|home| home.join("Library/Caches"))
    } else if cfg!(windows) {
        var("LOCALAPPDATA")
    } else {
        var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")))
    };
    caches.map(|caches| caches.join("antar").join("compiled-plugins"))
}
