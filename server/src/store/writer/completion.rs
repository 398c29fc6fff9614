//! Wakes all waiting callers of a thread with one notification: waking the thread for each of them costs
//! more than the work that each then does.

use std::cell::RefCell;

use tokio::runtime::{Handle, Id};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::store::db::error::StoreError;

/// The caller that waits for the result of a job, and its thread.
pub(super) struct Caller<T> {
    reply: oneshot::Sender<Result<T, StoreError>>,
    /// None outside of a runtime.
    thread: Option<ThreadQueue>,
}

/// A result on its way to its caller.
pub(super) struct Completion {
    send: Box<dyn FnOnce() + Send>,
    thread: Option<ThreadQueue>,
}

impl<T: Send + 'static> Caller<T> {
    /// A caller on this thread, and the receiver of its result.
    pub(super) fn here() -> (Caller<T>, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, result) = oneshot::channel();
        (Caller { reply, thread: ThreadQueue::here() }, result)
    }

    pub(super) fn completed(self, result: Result<T, StoreError>) -> Completion {
        let Caller { reply, thread } = self;
        let send = Box::new(move || {
            // A caller that has gone away does not undo the commit.
            let _ = reply.send(result);
        });
        Completion { send, thread }
    }
}

/// Delivers results to the callers of one thread, on that thread's runtime. Ends with the runtime.
#[derive(Clone)]
struct ThreadQueue {
    runtime: Id,
    sender: UnboundedSender<Vec<Completion>>,
}

thread_local! {
    static HERE: RefCell<Option<ThreadQueue>> = const { RefCell::new(None) };
}

impl ThreadQueue {
    /// The queue of this thread. None outside of a runtime.
    fn here() -> Option<ThreadQueue> {
        let runtime = Handle::try_current().ok()?;
        HERE.with_borrow_mut(|here| {
            let known = here.as_ref().is_some_and(|known| known.runtime == runtime.id());
            if !known {
                *here = Some(ThreadQueue::start(&runtime));
            }
            here.clone()
        })
    }

    fn start(runtime: &Handle) -> ThreadQueue {
        let (sender, mut completions) = unbounded_channel::<Vec<Completion>>();
        runtime.spawn(async move {
            while let Some(some) = completions.recv().await {
                some.into_iter().for_each(|completion| (completion.send)());
            }
        });
        ThreadQueue { runtime: runtime.id(), sender }
    }

    fn is(&self, other: &ThreadQueue) -> bool {
        self.sender.same_channel(&other.sender)
    }
}

/// Delivers all results; those of one thread in order.
pub(super) fn complete_all(completions: impl Iterator<Item = Completion>) {
    let mut threads: Vec<(ThreadQueue, Vec<Completion>)> = Vec::new();
    for mut completion in completions {
        let Some(thread) = completion.thread.take() else {
            (completion.send)();
            continue;
        };
        match threads.iter_mut().find(|(known, _)| known.is(&thread)) {
            Some((_, its)) => its.push(completion),
            None => threads.push((thread, vec![completion])),
        }
    }
    for (thread, completions) in threads {
        // A single caller is woken as fast from here; if the runtime has ended, none of its callers waits.
        let here = if completions.len() == 1 {
            Some(completions)
        } else {
            thread.sender.send(completions).err().map(|error| error.0)
        };
        here.into_iter().flatten().for_each(|completion| (completion.send)());
    }
}
