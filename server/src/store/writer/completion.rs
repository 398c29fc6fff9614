//! What became of work is told to all of a thread's callers at once: to wake the thread for each of them
//! costs more than what each then does.

use std::cell::RefCell;

use tokio::runtime::{Handle, Id};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::accept::{AcceptJob, Answer};
use super::record::{RecordJob, Recorded};
use crate::store::db::error::StoreError;

/// A job and what its caller gets.
pub(super) enum Completion {
    Accept(AcceptJob, Result<Answer, StoreError>),
    Record(RecordJob, Result<Recorded, StoreError>),
}

impl Completion {
    fn complete_all(self) {
        match self {
            Completion::Accept(job, answer) => job.answer(answer),
            Completion::Record(job, answer) => job.answer(answer),
        }
    }

    fn completions(&self) -> Option<&CompletionQueue> {
        match self {
            Completion::Accept(job, _) => job.completions.as_ref(),
            Completion::Record(job, _) => job.completions.as_ref(),
        }
    }
}

/// Tells the callers of one thread of a runtime, on that runtime. Ends with it.
#[derive(Clone)]
pub(super) struct CompletionQueue {
    runtime: Id,
    sender: UnboundedSender<Vec<Completion>>,
}

thread_local! {
    static HERE: RefCell<Option<CompletionQueue>> = const { RefCell::new(None) };
}

impl CompletionQueue {
    /// The one of this thread. None outside of a runtime.
    pub(super) fn here() -> Option<CompletionQueue> {
        let runtime = Handle::try_current().ok()?;
        HERE.with_borrow_mut(|here| {
            let known = here.as_ref().is_some_and(|known| known.runtime == runtime.id());
            if !known {
                *here = Some(CompletionQueue::start(&runtime));
            }
            here.clone()
        })
    }

    fn start(runtime: &Handle) -> CompletionQueue {
        let (sender, mut told) = unbounded_channel::<Vec<Completion>>();
        runtime.spawn(async move {
            while let Some(some) = told.recv().await {
                some.into_iter().for_each(Completion::complete_all);
            }
        });
        CompletionQueue { runtime: runtime.id(), sender }
    }

    fn is(&self, other: &CompletionQueue) -> bool {
        self.sender.same_channel(&other.sender)
    }
}

/// Tells everybody; those of one thread in order.
pub(super) fn complete_all(all: impl Iterator<Item = Completion>) {
    let mut threads: Vec<(CompletionQueue, Vec<Completion>)> = Vec::new();
    for told in all {
        let Some(completions) = told.completions() else {
            told.complete_all();
            continue;
        };
        match threads.iter_mut().find(|(known, _)| known.is(completions)) {
            Some((_, its)) => its.push(told),
            None => threads.push((completions.clone(), vec![told])),
        }
    }
    for (completions, told) in threads {
        // One is told as quickly from here; and where the runtime has ended, nobody waits.
        let here = if told.len() == 1 {
            Some(told)
        } else {
            completions.sender.send(told).err().map(|e| e.0)
        };
        here.into_iter().flatten().for_each(Completion::complete_all);
    }
}
