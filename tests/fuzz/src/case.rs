//! One case: its input, and what came of reading it.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::allocations::{self, Allocated};
use crate::dice::Dice;
use crate::mutate::{BYTES_MAX, mutate};
use crate::targets::Target;

/// Beyond this many times what a target may use, a process does not wait for the end of a case.
const HOPELESS_FACTOR: usize = 64;

/// A promise that did not hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Panicked(String),
    Memory { peak_bytes: usize, max_bytes: usize },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Panicked(message) => write!(f, "panicked: {message}"),
            Broken::Memory { peak_bytes, max_bytes } => {
                write!(f, "{peak_bytes} bytes were in use at once, {max_bytes} are permitted")
            }
        }
    }
}

impl Broken {
    /// Whether another input breaks the same promise.
    pub(crate) fn is_like(&self, other: &Broken) -> bool {
        match (self, other) {
            // The place is the same; the values in the message differ.
            (Broken::Panicked(a), Broken::Panicked(b)) => a.lines().next() == b.lines().next(),
            (Broken::Memory { .. }, Broken::Memory { .. }) => true,
            _ => false,
        }
    }
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on panics are noted with their place instead of being printed.
pub(crate) fn note_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("no message");
        PANIC.set(Some(format!("at {place}\n{message}")));
    }));
}

/// The input of a case.
pub(crate) fn input(target: &Target, corpus: &[Vec<u8>], seed: u64, number: u64) -> Vec<u8> {
    let mut dice = Dice::of_case(seed, target.name, number);
    let valid = |dice: &mut Dice| match corpus {
        [] => (target.grow)(dice),
        some => dice.pick_of(some).clone(),
    };
    let mut input = match dice.below(6) {
        0 | 1 => (target.grow)(&mut dice),
        2 | 3 => {
            let grown = (target.grow)(&mut dice);
            mutate(&mut dice, &grown, corpus)
        }
        _ => {
            let known = valid(&mut dice);
            mutate(&mut dice, &known, corpus)
        }
    };
    input.truncate(4 * BYTES_MAX);
    input
}

/// Reads an input.
pub(crate) fn run(target: &Target, input: &[u8]) -> Result<Allocated, Broken> {
    let max_bytes = target.memory_bytes + target.memory_factor * input.len();
    PANIC.set(None);
    allocations::begin(max_bytes.saturating_mul(HOPELESS_FACTOR));
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.read)(input)));
    let allocated = allocations::end();
    if outcome.is_err() {
        return Err(Broken::Panicked(PANIC.take().unwrap_or_default()));
    }
    match allocated.peak_bytes > max_bytes {
        true => Err(Broken::Memory { peak_bytes: allocated.peak_bytes, max_bytes }),
        false => Ok(allocated),
    }
}
