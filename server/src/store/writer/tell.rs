//! What became of work is told to all of a thread's callers at once: to wake the thread for each of them
//! costs more than what each then does.

use std::cell::RefCell;

use tokio::runtime::{Handle, Id};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::accept::{AcceptJob, Answer};
use super::record::{RecordJob, Recorded};
use crate::store::db::error::StoreError;

/// A job and what its caller gets.
pub(super) enum Told {
    Accept(AcceptJob, Result<Answer, StoreError>),
    Record(RecordJob, Result<Recorded, StoreError>),
}

impl Told {
    fn tell(self) {
        match self {
            Told::Accept(job, answer) => job.answer(answer),
            Told::Record(job, answer) => job.answer(answer),
        }
    }

    fn teller(&self) -> Option<&Teller> {
        match self {
            Told::Accept(job, _) => job.teller.as_ref(),
            Told::Record(job, _) => job.teller.as_ref(),
        }
    }
}

/// Tells the callers of one thread of a runtime, on that runtime. Ends with it.
#[derive(Clone)]
pub(super) struct Teller {
    runtime: Id,
    news: UnboundedSender<Vec<Told>>,
}

thread_local! {
    static HERE: RefCell<Option<Teller>> = const { RefCell::new(None) };
}

impl Teller {
    /// The one of this thread. None outside of a runtime.
    pub(super) fn here() -> Option<Teller> {
        let runtime = Handle::try_current().ok()?;
        HERE.with_borrow_mut(|here| {
            let known = here.as_ref().is_some_and(|known| known.runtime == runtime.id());
            if !known {
                *here = Some(Teller::start(&runtime));
            }
            here.clone()
        })
    }

    fn start(runtime: &Handle) -> Teller {
        let (news, mut told) = unbounded_channel::<Vec<Told>>();
        runtime.spawn(async move {
            while let Some(some) = told.recv().await {
                some.into_iter().for_each(Told::tell);
            }
        });
        Teller { runtime: runtime.id(), news }
    }

    fn is(&self, other: &Teller) -> bool {
        self.news.same_channel(&other.news)
    }
}

/// Tells everybody; those of one thread in order.
pub(super) fn tell(all: impl Iterator<Item = Told>) {
    let mut threads: Vec<(Teller, Vec<Told>)> = Vec::new();
    for told in all {
        let Some(teller) = told.teller() else {
            told.tell();
            continue;
        };
        match threads.iter_mut().find(|(known, _)| known.is(teller)) {
            Some((_, its)) => its.push(told),
            None => threads.push((teller.clone(), vec![told])),
        }
    }
    for (teller, told) in threads {
        // One is told as quickly from here; and where the runtime has ended, nobody waits.
        let here =
            if told.len() == 1 { Some(told) } else { teller.news.send(told).err().map(|e| e.0) };
        here.into_iter().flatten().for_each(Told::tell);
    }
}
