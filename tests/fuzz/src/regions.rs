//! How often the regions of our own code ran: the counters that `rustc -C instrument-coverage` adds to every
//! function, arm and loop body. `cargo xtask growth` compiles the repository's crates so; other builds count
//! nothing.

/// Whether this build counts.
pub const COUNTED: bool = cfg!(counted);

#[cfg(counted)]
#[expect(unsafe_code, reason = "the compiler's runtime has no other interface")]
unsafe extern "C" {
    safe fn __llvm_profile_begin_counters() -> *const u64;
    safe fn __llvm_profile_end_counters() -> *const u64;
}

/// The sum of all counters so far.
#[cfg(counted)]
#[must_use]
#[expect(unsafe_code, reason = "the compiler's runtime has no other interface")]
pub(crate) fn run_so_far() -> u64 {
    let (begin, end) = (__llvm_profile_begin_counters(), __llvm_profile_end_counters());
    let count = (end.addr() - begin.addr()) / size_of::<u64>();
    // SAFETY: the runtime gives the beginning and the end of an array of counters, aligned for `u64`, that lives as
    // long as the process. Nothing but this thread runs instrumented code while growth is measured.
    (0..count).fold(0, |sum: u64, at| sum.wrapping_add(unsafe { begin.add(at).read_volatile() }))
}

/// The sum of all counters so far.
#[cfg(not(counted))]
#[must_use]
pub(crate) fn run_so_far() -> u64 {
    0
}
