//! Tests of the host with real guests, compiled from source.

mod bundled;
mod cache;
mod forged;
mod hostile;
mod upload;
mod world;

use std::sync::Arc;

use antar_test_guests::Guest;
use bytes::Bytes;
use tokio::sync::{Mutex, OnceCell};

use super::{Call, CallError, CallReport, Host, Level, Limits, Outcome, Owner, Place, Plugin};

/// A host and one plugin.
struct Bench {
    host: Arc<Host>,
    plugin: Plugin,
}

/// One host with the usual limits and the plugins it has compiled. Tests share it because compiling
/// takes longer than everything else.
static SHARED: OnceCell<Arc<Host>> = OnceCell::const_new();
static COMPILED: Mutex<Vec<(Guest, Plugin)>> = Mutex::const_new(Vec::new());

/// Few slots, so that a test reserves less than a server does, and long time-outs for a machine
/// that runs many tests at once.
fn limits() -> Limits {
    Limits {
        instances_max: 4,
        instances_per_plugin_max: 4,
        large_instances_max: 1,
        warm_memories_max: 16,
        call_time_ms: 5_000,
        wait_time_ms: 5_000,
        ..Limits::default()
    }
}

impl Bench {
    async fn new(guest: Guest) -> Bench {
        let host = SHARED.get_or_init(async || Arc::new(Host::new(limits()).unwrap())).await;
        let host = Arc::clone(host);
        let mut compiled = COMPILED.lock().await;
        if let Some((_, plugin)) = compiled.iter().find(|(of, _)| *of == guest) {
            return Bench { host, plugin: plugin.clone() };
        }
        let plugin = host.compile(Bytes::from(guest.wasm()), &Owner::default()).await.unwrap();
        compiled.push((guest, plugin.clone()));
        Bench { host, plugin }
    }

    async fn with(guest: Guest, limits: Limits) -> Bench {
        let host = Arc::new(Host::new(limits).unwrap());
        let plugin = host.compile(Bytes::from(guest.wasm()), &Owner::default()).await.unwrap();
        Bench { host, plugin }
    }

    async fn report(&self, call: Call<'_>) -> CallReport {
        self.host.call(&self.plugin, call).await
    }

    /// The result of a call for a webhook, with this config.
    async fn ask(&self, config: &str) -> Result<Outcome, CallError> {
        self.report(call("{}", config)).await.result
    }
}

fn call<'a>(data: &'a str, config: &'a str) -> Call<'a> {
    Call {
        id: "ev-1",
        event_type: "conversation.created",
        tenant: "acme",
        timestamp: "2026-03-10T12:00:00.000Z",
        attributes: &[],
        data,
        config,
        place: Place::Webhook,
    }
}

/// The new data of a replacement, as text.
fn data(result: Result<Outcome, CallError>) -> String {
    match result {
        Ok(Outcome::Replace(replacement)) => replacement.data.text().to_owned(),
        other => panic!("{other:?}"),
    }
}
