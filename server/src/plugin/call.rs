//! Calls of plugins: input, limits, result and errors of one call.

use std::time::{Duration, Instant};

use wasmtime::{Store, Trap};

use super::{
    Host, Level, Limits, Outcome, Owner, Plugin,
    bindings::types,
    callable::Allowed,
    callable::Entry,
    empty_world::World,
    guest::Guest,
    outcome::{from_outcome, from_problem, from_verdict},
    pool::{permit, store},
    shares::Share,
    upload::{Described, Placed},
};

/// Delay before the retry of a call whose plugin is still being compiled.
const NOT_READY_MS: u64 = 1_000;

/// Delay before the retry of a call that found no free instance.
const BUSY_MS: u64 = 1_000;

/// Where a plugin is used. Decides what its answer may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On incoming events, before they are routed or stored.
    Intake,
    /// On deliveries to one webhook.
    Webhook,
}

/// Everything that a plugin sees, and the place where it is used.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub id: &'a str,
    pub event_type: &'a str,
    pub tenant: &'a str,
    /// RFC 3339, UTC, with milliseconds.
    pub timestamp: &'a str,
    pub attributes: &'a [(String, String)],
    /// JSON text of an object.
    pub data: &'a str,
    /// JSON text of the config; `{}` if the plugin's use has none.
    pub config: &'a str,
    pub place: Place,
}

/// Result, log and cost of a call.
#[derive(Clone, Debug)]
pub struct CallReport {
    pub result: Result<Outcome, CallError>,
    /// Log lines, also of a failed call.
    pub logs: Vec<(Level, String)>,
    /// From instantiation to the answer. Includes other work done while the guest yields, but not
    /// the wait for a free instance.
    pub took_us: u64,
    /// Peak size of the guest's memory.
    pub memory_bytes: usize,
}

/// Why a call has no outcome. `on_error` of the plugin's use handles all but `Fail`, `Busy` and `NotReady`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The plugin requests a retry.
    #[error("{0}")]
    Retry(String),
    /// The plugin reports a failure that no retry can fix.
    #[error("{0}")]
    Fail(String),
    /// A panic, an unreachable instruction, a stack overflow, an access out of bounds.
    #[error("the plugin stopped: {0}")]
    Trap(String),
    #[error("the plugin took longer than {limit_ms} ms")]
    TimedOut { limit_ms: u64 },
    #[error("the plugin asked for more than {limit_bytes} bytes of memory")]
    TooMuchMemory { limit_bytes: usize },
    #[error("the plugin's answer can't be used: {0}")]
    BadOutput(String),
    /// All slots were taken. Not a failure of the plugin.
    #[error("no instance became free within {waited_ms} ms")]
    Busy { waited_ms: u64 },
    /// The server was upgraded and is recompiling the plugin. Not a failure of the plugin.
    #[error("the plugin is being compiled for this version of the server")]
    NotReady { retry_in_ms: u64 },
    /// The circuit breaker is open: the plugin failed too often and was not called.
    #[error("the plugin is paused: it {reason}")]
    Paused { reason: String, retry_in_ms: u64 },
}

impl CallError {
    /// Whether to give up at once, regardless of `on_error`.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, CallError::Fail(_))
    }

    /// When to try again, if the server and not the plugin is the cause: then `on_error` does not apply, and no
    /// step that the user configured is left out.
    #[must_use]
    pub fn retry_in_ms(&self) -> Option<u64> {
        match self {
            CallError::NotReady { retry_in_ms } => Some(*retry_in_ms),
            CallError::Busy { .. } => Some(BUSY_MS),
            _ => None,
        }
    }

    /// Stable name for metrics and records.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            CallError::Retry(_) => "retry",
            CallError::Fail(_) => "fail",
            CallError::Trap(_) => "trap",
            CallError::TimedOut { .. } => "timed_out",
            CallError::TooMuchMemory { .. } => "too_much_memory",
            CallError::BadOutput(_) => "bad_output",
            CallError::Busy { .. } => "busy",
            CallError::NotReady { .. } => "not_ready",
            CallError::Paused { .. } => "paused",
        }
    }

    /// Whether the plugin itself is faulty. Problems that it reports and outside conditions don't
    /// count.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        match self {
            CallError::Trap(_)
            | CallError::TimedOut { .. }
            | CallError::TooMuchMemory { .. }
            | CallError::BadOutput(_) => true,
            CallError::Retry(_)
            | CallError::Fail(_)
            | CallError::Busy { .. }
            | CallError::NotReady { .. }
            | CallError::Paused { .. } => false,
        }
    }
}

impl CallReport {
    /// Report of a call that did not start.
    fn none(error: CallError) -> CallReport {
        CallReport { result: Err(error), logs: Vec::new(), took_us: 0, memory_bytes: 0 }
    }
}

impl Host {
    /// Runs `plugin` on one event in a fresh instance, within the limits. Never blocks the thread
    /// for longer than a millisecond or two. Dropping the future stops the guest.
    pub async fn call(&self, plugin: &Plugin, call: Call<'_>) -> CallReport {
        let entry = match plugin.0.breaker.enter(|| (self.now_ms)()) {
            Ok(entry) => entry,
            Err(paused) => return CallReport::none(paused),
        };
        let report = self.call_uncounted(plugin, call).await;
        entry.ended(report.result.as_ref().err(), || (self.now_ms)());
        plugin.0.metrics.count(&report);
        report
    }

    /// Median cost of a few calls, in microseconds. None if the plugin fails on this event.
    pub async fn cost_us(&self, plugin: &Plugin, call: Call<'_>) -> Option<u64> {
        const CALLS: usize = 5;
        let mut took = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let report = self.call_uncounted(plugin, call).await;
            match report.result {
                Ok(_) | Err(CallError::Retry(_) | CallError::Fail(_)) => took.push(report.took_us),
                Err(_) => return None,
            }
        }
        took.sort_unstable();
        took.get(CALLS / 2).copied()
    }

    pub(super) async fn call_uncounted(&self, plugin: &Plugin, call: Call<'_>) -> CallReport {
        let code = &plugin.0.code;
        let made = match code.made.get() {
            Some(Ok(made)) => made,
            Some(Err(why)) => return CallReport::none(CallError::Trap(why.clone())),
            None => return CallReport::none(CallError::NotReady { retry_in_ms: NOT_READY_MS }),
        };
        let Allowed { limits, slots, share } =
            plugin.0.allowed.get_or_init(|| self.allowed(&plugin.0.owner, made.pool));
        let pool = self.pool(made.pool);
        let wait_ms = limits.wait_time_ms;
        let _own = match permit(slots, wait_ms).await {
            Ok(own) => own,
            Err(busy) => return CallReport::none(busy),
        };
        let _slot = match pool.slots.take(share, wait_ms).await {
            Ok(slot) => slot,
            Err(busy) => return CallReport::none(busy),
        };
        let _beat = self.ticker.beat();
        let started = Instant::now();
        let bytes = call.data.len() + call.config.len();
        let linked = made.fitting(bytes);
        let mut store = store(&linked.engine, limits);
        if code.inspection.imports_wasi() {
            let at = call.timestamp.parse::<jiff::Timestamp>();
            let at_ms = at.map_or(0, |at| u64::try_from(at.as_millisecond()).unwrap_or(0));
            store.data_mut().enter(World::new(at_ms, call.id));
        }
        let running = run(&mut store, &linked.entry, call, limits);
        let result = self.within(share, limits.call_time_ms, running).await;
        let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let result = result.unwrap_or_else(|e| Err(explain(&store, e, limits)));
        let guest = store.data_mut();
        if guest.has_grown {
            linked.grew_at(bytes);
        }
        CallReport { result, logs: guest.take_logs(), took_us, memory_bytes: guest.memory_bytes }
    }

    /// Calls the plugin's `describe`.
    pub(super) async fn describe(
        &self,
        placed: &Placed,
        owner: &Owner,
    ) -> Result<Described, CallError> {
        let share = self.shares.of(&owner.tenant);
        let pool = self.pool(placed.made.pool);
        let mut limits = self.limits.clone();
        limits.memory_bytes_max = limits.pool_memory_bytes(placed.made.pool);
        let _slot = pool.slots.take(&share, limits.wait_time_ms).await?;
        let _beat = self.ticker.beat();
        let mut store = store(&placed.made.ample.engine, &limits);
        let describing = describe(&mut store, &placed.made.ample.entry);
        let about = self.within(&share, limits.describe_time_ms, describing).await;
        let about = about.map_err(|e| explain(&store, e, &limits))?;
        Ok(Described { about, memory_bytes: store.data().memory_bytes })
    }

    /// Stops a guest once it has run for the limit.
    async fn within<T>(
        &self,
        share: &Share,
        limit_ms: u64,
        guest: impl Future<Output = wasmtime::Result<T>>,
    ) -> Result<T, Ended> {
        match self.shares.run(share, Duration::from_millis(limit_ms), guest).await {
            Some(answer) => answer.map_err(Ended::Stopped),
            None => Err(Ended::TimedOut { limit_ms }),
        }
    }
}

fn explain(store: &Store<Guest>, ended: Ended, limits: &Limits) -> CallError {
    match ended {
        Ended::TimedOut { limit_ms } => CallError::TimedOut { limit_ms },
        Ended::Stopped(_) if store.data().memory_refused => {
            CallError::TooMuchMemory { limit_bytes: limits.memory_bytes_max }
        }
        Ended::Stopped(e) => match e.downcast_ref::<Trap>() {
            Some(trap) => CallError::Trap(trap.to_string()),
            // The engine's error type for this is private, so only the text identifies it.
            None if format!("{e:#}").contains("fuel allocated for hostcalls") => {
                CallError::BadOutput(format!("more than {} bytes", limits.output_bytes_max))
            }
            None => CallError::Trap(format!("{e:#}")),
        },
    }
}

/// How a call ended without an answer.
enum Ended {
    TimedOut { limit_ms: u64 },
    Stopped(wasmtime::Error),
}

async fn run(
    store: &mut Store<Guest>,
    entry: &Entry,
    call: Call<'_>,
    limits: &Limits,
) -> wasmtime::Result<Result<Outcome, CallError>> {
    let attributes: Vec<(&str, &str)> =
        call.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let event = types::Event {
        id: call.id,
        event_type: call.event_type,
        tenant: call.tenant,
        timestamp: call.timestamp,
        attributes: &attributes,
        data: call.data,
    };
    Ok(match entry {
        Entry::Filter(filter) => {
            let instance = filter.instantiate_async(&mut *store).await?;
            let answer = instance.antar_plugin_filter().call_run(store, event, call.config).await?;
            answer.map(|verdict| from_verdict(verdict, limits)).map_err(|p| from_problem(p, limits))
        }
        Entry::Transform(transform) => {
            let instance = transform.instantiate_async(&mut *store).await?;
            let answer =
                instance.antar_plugin_transform().call_run(store, event, call.config).await?;
            match answer {
                Ok(outcome) => from_outcome(outcome, call.place, limits),
                Err(problem) => Err(from_problem(problem, limits)),
            }
        }
    })
}

async fn describe(store: &mut Store<Guest>, entry: &Entry) -> wasmtime::Result<types::About> {
    match entry {
        Entry::Filter(filter) => {
            let instance = filter.instantiate_async(&mut *store).await?;
            instance.antar_plugin_filter().call_describe(store).await
        }
        Entry::Transform(transform) => {
            let instance = transform.instantiate_async(&mut *store).await?;
            instance.antar_plugin_transform().call_describe(store).await
        }
    }
}
