//! Threads for a tenant's work that would keep others waiting: large documents, and rules, schemas and
//! templates that need many steps.
//!
//! Small work is done where it is needed, because handing it over costs more than doing it. Whatever exceeds a
//! small budget comes here. The threads take tenants in turn, so a tenant with much work waits for itself and
//! for one piece of work of each other tenant. They run with a lower priority than the threads that serve
//! requests.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::config::WorkConfig;
use crate::model::TenantId;

/// A piece of work; it sends its result itself.
type Work = Box<dyn FnOnce() + Send>;

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    #[error(
        "more than {max} pieces of large work of this tenant wait (work.waiting_per_tenant_max)"
    )]
    TenantFull { max: usize },
    #[error("more than {max} pieces of large work wait (work.waiting_max)")]
    Full { max: usize },
    /// The work panicked; the panic is logged.
    #[error("it ended in a panic")]
    Panicked,
}

/// Starts its threads when it is made; they end when it is dropped.
pub struct WorkPool {
    shared: Arc<Shared>,
    waiting_max: usize,
    waiting_per_tenant_max: usize,
    bytes_at_once_max: usize,
}

struct Shared {
    queue: Mutex<Queue>,
    came: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Tenants with waiting work, in order of their turns.
    turns: VecDeque<TenantId>,
    waiting: HashMap<TenantId, VecDeque<Work>>,
    count: usize,
    ended: bool,
}

impl Queue {
    fn push(&mut self, tenant: &TenantId, work: Work) {
        let own = self.waiting.entry(tenant.clone()).or_default();
        if own.is_empty() {
            self.turns.push_back(tenant.clone());
        }
        own.push_back(work);
        self.count += 1;
    }

    /// Takes the next piece of work of the tenant whose turn it is.
    fn pop(&mut self) -> Option<Work> {
        let tenant = self.turns.pop_front()?;
        let own = self.waiting.get_mut(&tenant)?;
        let work = own.pop_front();
        if own.is_empty() {
            self.waiting.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        self.count -= usize::from(work.is_some());
        work
    }
}

impl WorkPool {
    /// # Errors
    /// The system starts no more threads.
    pub fn start(config: &WorkConfig) -> std::io::Result<WorkPool> {
        let shared = Arc::new(Shared { queue: Mutex::default(), came: Condvar::new() });
        for _ in 0..config.threads() {
            let shared = shared.clone();
            std::thread::Builder::new().name("antar-work".to_owned()).spawn(move || {
                lower_priority();
                shared.serve();
            })?;
        }
        Ok(WorkPool {
            shared,
            waiting_max: config.waiting_max,
            waiting_per_tenant_max: config.waiting_per_tenant_max,
            bytes_at_once_max: config.bytes_at_once_max,
        })
    }

    /// Does `work` on one of the threads when it is the tenant's turn. Work that has begun goes on if the caller
    /// stops waiting.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn run<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let (done, result) = oneshot::channel();
        let work: Work = Box::new(move || {
            // Nobody waits for it any more: the request was dropped while it waited.
            if !done.is_closed() {
                // The receiver may be gone by now.
                let _ = done.send(work());
            }
        });
        self.put(tenant, work)?;
        result.await.map_err(|_| NotDone::Panicked)
    }

    /// Does work on `bytes` bytes here if they are few, else like [`WorkPool::run`].
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn run_sized<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        if bytes <= self.bytes_at_once_max { Ok(work()) } else { self.run(tenant, work).await }
    }

    fn put(&self, tenant: &TenantId, work: Work) -> Result<(), NotDone> {
        let mut queue = self.shared.queue.lock();
        if queue.count >= self.waiting_max {
            return Err(NotDone::Full { max: self.waiting_max });
        }
        let own = queue.waiting.get(tenant).map_or(0, VecDeque::len);
        if own >= self.waiting_per_tenant_max {
            return Err(NotDone::TenantFull { max: self.waiting_per_tenant_max });
        }
        queue.push(tenant, work);
        drop(queue);
        self.shared.came.notify_one();
        Ok(())
    }

    /// Pieces of work that wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.queue.lock().count
    }
}

impl Drop for WorkPool {
    fn drop(&mut self) {
        self.shared.queue.lock().ended = true;
        self.shared.came.notify_all();
    }
}

impl Shared {
    fn serve(&self) {
        let mut queue = self.queue.lock();
        while !queue.ended {
            let Some(work) = queue.pop() else {
                self.came.wait(&mut queue);
                continue;
            };
            drop(queue);
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!("a piece of work ended in a panic");
            }
            queue = self.queue.lock();
        }
    }
}

/// Steps in niceness below the other threads of the process.
#[cfg(target_os = "linux")]
const NICER: libc::c_int = 5;

/// Linux has a niceness for each thread; elsewhere it would be that of the process.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a plain system call without pointers")]
fn lower_priority() {
    // SAFETY: no memory is passed. A failure leaves the priority as it is.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICER);
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(waiting_per_tenant_max: usize) -> WorkConfig {
        WorkConfig { threads: 1, waiting_per_tenant_max, waiting_max: 10, ..WorkConfig::default() }
    }

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    /// Occupies the only thread until the sender is dropped.
    async fn occupy(pool: &Arc<WorkPool>) -> std::sync::mpsc::Sender<()> {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = oneshot::channel();
        let pool = pool.clone();
        tokio::spawn(async move {
            let work = move || {
                let _ = begun.send(());
                let _ = held.recv();
            };
            pool.run(&tenant("first"), work).await
        });
        begins.await.unwrap();
        release
    }

    #[tokio::test]
    async fn tenants_take_turns() {
        let pool = Arc::new(WorkPool::start(&config(5)).unwrap());
        let release = occupy(&pool).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (number, name) in ["busy", "busy", "busy", "other"].into_iter().enumerate() {
            let (runner, order) = (pool.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                runner.run(&tenant(name), move || order.lock().push((name, number))).await
            }));
            while pool.waiting() <= number {
                tokio::task::yield_now().await;
            }
        }
        drop(release);
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(*order.lock(), [("busy", 0), ("other", 3), ("busy", 1), ("busy", 2)]);
    }

    #[tokio::test]
    async fn a_full_tenant_leaves_room_for_others() {
        let pool = Arc::new(WorkPool::start(&config(1)).unwrap());
        let release = occupy(&pool).await;
        let waiting = pool.clone();
        let waits = tokio::spawn(async move { waiting.run(&tenant("busy"), || 1).await });
        while pool.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        let refused = pool.run(&tenant("busy"), || 2).await;
        assert_eq!(refused, Err(NotDone::TenantFull { max: 1 }));
        let other = pool.clone();
        let other = tokio::spawn(async move { other.run(&tenant("other"), || 3).await });
        drop(release);
        assert_eq!((waits.await.unwrap(), other.await.unwrap()), (Ok(1), Ok(3)));
    }

    #[tokio::test]
    async fn a_panic_ends_one_piece_of_work_only() {
        let pool = WorkPool::start(&config(1)).unwrap();
        let panics = || -> u32 { panic!("planted") };
        assert_eq!(pool.run(&tenant("a"), panics).await, Err(NotDone::Panicked));
        assert_eq!(pool.run(&tenant("a"), || 7).await, Ok(7));
    }
}
