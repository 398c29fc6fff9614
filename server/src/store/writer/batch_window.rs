//! The batch window: how long the writer waits for more jobs to share a transaction. A commit costs about the
//! same for few jobs as for many.

use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};

use super::job::Job;

/// After a transaction with this many jobs, more are likely to be on their way.
const MANY: usize = 8;
/// With this many jobs the writer commits without waiting for more.
const PLENTY: usize = 64;

/// Limits of the batch window.
pub(super) struct BatchWindow {
    /// Jobs in a transaction at most.
    pub(super) batch_max: usize,
    /// Longest wait while all jobs are records that can wait.
    pub(super) record_wait: Duration,
    /// Wait under load. None: jobs accumulate while the database answers.
    pub(super) wait: Option<Duration>,
}

impl BatchWindow {
    /// Adds jobs for the next transaction to `waiting`, which is not empty. `before`: jobs in the last one.
    pub(super) async fn more(
        &self,
        jobs: &mut Receiver<Job>,
        waiting: &mut Vec<Job>,
        before: usize,
    ) {
        self.for_records(jobs, waiting).await;
        self.while_many_come(jobs, waiting, before);
    }

    /// Waits while all jobs can wait: a job may come that has to be committed anyway.
    async fn for_records(&self, jobs: &mut Receiver<Job>, waiting: &mut Vec<Job>) {
        let until = Instant::now() + self.record_wait;
        let mut seen = 0;
        while waiting.len() < self.batch_max && waiting[seen..].iter().all(Job::can_wait) {
            seen = waiting.len();
            let more = jobs.recv_many(waiting, self.batch_max - seen);
            if timeout_at(until, more).await.is_err() || waiting.len() == seen {
                return;
            }
        }
    }

    /// Sleeps on the thread: the wait is below a millisecond, for which the runtime's timers are too coarse.
    fn while_many_come(&self, jobs: &mut Receiver<Job>, waiting: &mut Vec<Job>, before: usize) {
        let Some(wait) = self.wait.filter(|wait| !wait.is_zero()) else { return };
        if before < MANY || waiting.len() >= PLENTY {
            return;
        }
        std::thread::sleep(wait);
        while waiting.len() < self.batch_max
            && let Ok(job) = jobs.try_recv()
        {
            waiting.push(job);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// Size of the batch when 100 more jobs are queued.
    fn waiting_after(window: &BatchWindow, there: usize, before: usize) -> usize {
        let stop = || Job::Stop(oneshot::channel().0);
        let (sender, mut jobs) = mpsc::channel(100);
        (0..100).for_each(|_| assert!(sender.try_send(stop()).is_ok()));
        let mut waiting: Vec<Job> = (0..there).map(|_| stop()).collect();
        window.while_many_come(&mut jobs, &mut waiting, before);
        waiting.len()
    }

    #[test]
    fn more_is_waited_for_after_a_commit_of_many() {
        let (record_wait, wait) = (Duration::ZERO, Some(Duration::from_nanos(1)));
        let window = BatchWindow { batch_max: 256, record_wait, wait };
        assert_eq!(waiting_after(&window, 1, MANY), 101);
        assert_eq!(waiting_after(&window, 1, MANY - 1), 1);
        assert_eq!(waiting_after(&window, PLENTY, MANY), PLENTY);
        assert_eq!(waiting_after(&BatchWindow { batch_max: 50, ..window }, 1, MANY), 50);
        for wait in [None, Some(Duration::ZERO)] {
            assert_eq!(
                waiting_after(&BatchWindow { batch_max: 256, record_wait, wait }, 1, MANY),
                1
            );
        }
    }
}
