//! An allocator that counts what each thread allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What a thread has allocated since [`begin`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// The most bytes in use at once.
    pub peak_bytes: usize,
    /// All bytes, also those that were freed meanwhile.
    pub total_bytes: u64,
    pub count: u64,
}

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static TOTAL: Cell<u64> = const { Cell::new(0) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static MAX: Cell<isize> = const { Cell::new(isize::MAX) };
}

/// The system's allocator, counting.
pub struct Counting;

/// Exit code of a process that asked for more than [`begin`] permits.
pub const EXIT_TOO_MUCH: i32 = 4;

/// Counts from 0 for this thread. If more than `bytes_max` are in use at once, the process ends.
pub fn begin(bytes_max: usize) {
    LIVE.set(0);
    PEAK.set(0);
    TOTAL.set(0);
    COUNT.set(0);
    MAX.set(isize::try_from(bytes_max).unwrap_or(isize::MAX));
}

/// What was allocated since [`begin`]; allocations are free again afterwards.
pub fn end() -> Allocated {
    MAX.set(isize::MAX);
    Allocated {
        peak_bytes: usize::try_from(PEAK.get()).unwrap_or_default(),
        total_bytes: TOTAL.get(),
        count: COUNT.get(),
    }
}

fn grown(bytes: usize) {
    let live = LIVE.get().saturating_add_unsigned(bytes);
    LIVE.set(live);
    TOTAL.set(TOTAL.get() + bytes as u64);
    COUNT.set(COUNT.get() + 1);
    if live > PEAK.get() {
        PEAK.set(live);
        if live > MAX.get() {
            MAX.set(isize::MAX);
            eprintln!("{live} bytes are in use at once");
            std::process::exit(EXIT_TOO_MUCH);
        }
    }
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by nature; all calls are passed on unchanged"
)]
// SAFETY: every method passes its arguments on to the system's allocator and returns what that returns.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().saturating_sub_unsigned(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.set(LIVE.get().saturating_sub_unsigned(layout.size()));
        grown(size);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}
