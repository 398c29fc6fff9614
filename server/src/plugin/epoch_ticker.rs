//! The epoch ticker, which makes running guests yield.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

const TICK: Duration = Duration::from_millis(1);
/// Ticks without a running call after which the thread sleeps until the next call.
const IDLE_TICKS_MAX: u32 = 50;

/// Increments the engines' epochs once a millisecond while calls run, on a thread that ends when
/// this is dropped.
pub(super) struct EpochTicker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    calls: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// A running call. The epochs advance as long as one is held.
pub(super) struct Beat<'a>(&'a Shared);

impl EpochTicker {
    pub(super) fn start(engines: Vec<wasmtime::Engine>) -> std::io::Result<EpochTicker> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("plugin-ticker".into())
            .spawn(move || seen.beat(&engines))?;
        Ok(EpochTicker { shared, thread: Some(thread) })
    }

    pub(super) fn beat(&self) -> Beat<'_> {
        self.shared.calls.fetch_add(1, SeqCst);
        if self.shared.asleep.swap(false, SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Beat(&self.shared)
    }

    #[cfg(test)]
    pub(super) fn is_asleep(&self) -> bool {
        self.shared.asleep.load(SeqCst)
    }
}

impl Shared {
    fn beat(&self, engines: &[wasmtime::Engine]) {
        let mut idle = 0;
        while !self.stop.load(SeqCst) {
            if idle < IDLE_TICKS_MAX {
                thread::sleep(TICK);
                engines.iter().for_each(wasmtime::Engine::increment_epoch);
                idle = if self.calls.load(SeqCst) == 0 { idle + 1 } else { 0 };
                continue;
            }
            self.asleep.store(true, SeqCst);
            // A call that started before the store above saw the thread awake and did not unpark
            // it: check again.
            if self.calls.load(SeqCst) == 0 && !self.stop.load(SeqCst) {
                thread::park();
            }
            self.asleep.store(false, SeqCst);
            idle = 0;
        }
    }
}

impl Drop for Beat<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, SeqCst);
    }
}

impl Drop for EpochTicker {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic would not matter here: the thread only increments epochs.
            let _ = thread.join();
        }
    }
}
