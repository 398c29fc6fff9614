//! Call metrics of plugins, for `/metrics`.

use std::{
    collections::HashSet,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use metrics::{Counter, Gauge, Histogram};
use parking_lot::Mutex;

use super::{CallReport, Outcome};

/// Label for plugins beyond the bound.
const OTHER: &str = "other";
const OUTCOMES: [&str; 5] = ["pass", "drop", "replace", "split", "error"];

/// Plugins that have metrics of their own. The rest is counted together, so that tenants with many
/// plugins don't fill the memory of the metrics collector.
pub(super) struct Named {
    max: usize,
    names: Mutex<HashSet<(String, String)>>,
}

impl Named {
    pub(super) fn new(max: usize) -> Named {
        Named { max, names: Mutex::default() }
    }

    pub(super) fn metrics(&self, tenant: &str, plugin: &str) -> CallMetrics {
        let mut names = self.names.lock();
        let name = (tenant.to_owned(), plugin.to_owned());
        let is_named =
            names.contains(&name) || (names.len() < self.max && names.insert(name.clone()));
        let (tenant, plugin) = if is_named { name } else { (OTHER.into(), OTHER.into()) };
        CallMetrics { tenant, plugin, memory_bytes: AtomicUsize::new(0), made: OnceLock::new() }
    }
}

/// Metrics of one plugin, all its versions together.
pub(super) struct CallMetrics {
    tenant: String,
    plugin: String,
    memory_bytes: AtomicUsize,
    /// Registered at the first call: a recorder that is installed later would not see them.
    made: OnceLock<Made>,
}

struct Made {
    calls: [Counter; OUTCOMES.len()],
    seconds: Histogram,
    memory: Gauge,
}

impl CallMetrics {
    pub(super) fn count(&self, report: &CallReport) {
        let made = self.made.get_or_init(|| self.make());
        let outcome = match &report.result {
            Ok(Outcome::Pass) => 0,
            Ok(Outcome::Drop(_)) => 1,
            Ok(Outcome::Replace(_)) => 2,
            Ok(Outcome::Split(_)) => 3,
            Err(_) => 4,
        };
        if let Some(calls) = made.calls.get(outcome) {
            calls.increment(1);
        }
        // Below 2^53 microseconds, so exact.
        #[expect(clippy::cast_precision_loss, reason = "no call takes 285 years")]
        made.seconds.record(report.took_us as f64 / 1e6);
        if self.memory_bytes.fetch_max(report.memory_bytes, Relaxed) < report.memory_bytes {
            #[expect(clippy::cast_precision_loss, reason = "no guest has 8 PiB")]
            made.memory.set(report.memory_bytes as f64);
        }
    }

    fn make(&self) -> Made {
        let labels = || [("tenant", self.tenant.clone()), ("plugin", self.plugin.clone())];
        let calls = OUTCOMES.map(|outcome| {
            metrics::counter!("antar_plugin_calls_total", "tenant" => self.tenant.clone(),
                "plugin" => self.plugin.clone(), "outcome" => outcome)
        });
        Made {
            calls,
            seconds: metrics::histogram!("antar_plugin_call_seconds", &labels()),
            memory: metrics::gauge!("antar_plugin_memory_bytes_max", &labels()),
        }
    }
}
