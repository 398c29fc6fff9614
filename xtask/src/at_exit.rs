//! Cleanup at exit: child processes and temporary folders.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

type Task = Box<dyn FnOnce() + Send>;

/// Runs registered tasks, newest first: when dropped, and on ctrl-c, SIGTERM or SIGHUP, which then
/// end this process with exit code 130.
pub(crate) struct AtExit(Arc<Mutex<Vec<Task>>>);

impl AtExit {
    /// Can be called once per process, since it installs the signal handler.
    pub(crate) fn new() -> Result<AtExit> {
        let tasks: Arc<Mutex<Vec<Task>>> = Arc::default();
        let on_signal = Arc::clone(&tasks);
        ctrlc::set_handler(move || {
            run(&on_signal);
            std::process::exit(130);
        })
        .context("can't listen to ctrl-c")?;
        Ok(AtExit(tasks))
    }

    pub(crate) fn push(&self, task: impl FnOnce() + Send + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(task));
    }
}

impl Drop for AtExit {
    fn drop(&mut self) {
        run(&self.0);
    }
}

/// The lock is held to the end, so that a signal in the middle waits and then finds nothing to do.
fn run(tasks: &Mutex<Vec<Task>>) {
    let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(task) = tasks.pop() {
        task();
    }
}
