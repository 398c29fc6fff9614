//! Budgets of counted steps, for work on documents whose size or shape a stranger chooses.

use std::sync::atomic::{AtomicU64, Ordering};

/// Steps that a piece of work may still take. The same work on the same input always takes the same
/// number of steps, on every machine.
///
/// One step is about one value that is looked at; long texts count one more for every 32 bytes.
#[derive(Debug)]
pub struct Steps {
    max: u64,
    /// Atomic so that a budget can live across an await; only one thread counts at a time.
    left: AtomicU64,
}

/// The work was given up because its steps are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it takes more steps than are allowed")]
pub struct OutOfSteps;

impl Steps {
    #[must_use]
    pub fn new(max: u64) -> Steps {
        Steps { max, left: AtomicU64::new(max) }
    }

    /// For work on input that is bounded in another way.
    #[must_use]
    pub fn unlimited() -> Steps {
        Steps::new(u64::MAX)
    }

    /// Counts `count` steps.
    ///
    /// # Errors
    /// [`OutOfSteps`] if fewer are left; then none is left.
    pub fn take(&self, count: u64) -> Result<(), OutOfSteps> {
        let left = self.left.load(Ordering::Relaxed).checked_sub(count);
        self.left.store(left.unwrap_or(0), Ordering::Relaxed);
        left.map(|_| ()).ok_or(OutOfSteps)
    }

    /// Counts one step, and those for reading `bytes` bytes of text.
    ///
    /// # Errors
    /// See [`Steps::take`].
    pub fn read(&self, bytes: usize) -> Result<(), OutOfSteps> {
        self.take(1 + bytes as u64 / 32)
    }

    /// Does work that may take up to `max` of these steps, and counts those that it took.
    pub fn part<T>(&self, max: u64, work: impl FnOnce(&Steps) -> T) -> T {
        let part = Steps::new(max.min(self.left()));
        let result = work(&part);
        // It can't have taken more than were left.
        let _ = self.take(part.taken());
        result
    }

    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn taken(&self) -> u64 {
        self.max - self.left()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_out_and_stay_out() {
        let steps = Steps::new(5);
        assert_eq!(steps.read(64), Ok(()));
        assert_eq!((steps.left(), steps.taken()), (2, 3));
        assert_eq!(steps.take(3), Err(OutOfSteps));
        assert_eq!((steps.take(1), steps.taken()), (Err(OutOfSteps), 5));
    }

    #[test]
    fn a_part_counts_in_the_whole() {
        let steps = Steps::new(10);
        assert_eq!(steps.part(4, |part| (part.take(3), part.take(3))), (Ok(()), Err(OutOfSteps)));
        assert_eq!(steps.left(), 6);
        assert_eq!(steps.part(100, Steps::left), 6);
    }
}
