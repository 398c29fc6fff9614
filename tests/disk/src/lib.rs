//! A disk that fails: preloaded into a program (`LD_PRELOAD`), this stands before the C library's calls
//! that write files and wait for the disk. They fail for a database's files, for as long as the file
//! that `ANTAR_TEST_DISK` names says so:
//!
//! * `full`: a write beyond the end of a file is `ENOSPC`, as on a disk without room;
//! * `no-sync`: waiting for the disk is `EIO`, as on one that is broken.
#![cfg(target_os = "linux")]

use std::ffi::{c_int, c_long, c_void};

/// Whether the file behind `fd` is a database's (its log and its index have names that begin alike),
/// and is to fail like this.
fn fails(word: &str, fd: c_int) -> bool {
    let Some(control) = std::env::var_os("ANTAR_TEST_DISK") else { return false };
    std::fs::read_to_string(control).is_ok_and(|says| says.trim() == word)
        && std::fs::read_link(format!("/proc/self/fd/{fd}"))
            .is_ok_and(|path| path.to_string_lossy().contains(".db"))
}

fn error(number: c_int) -> isize {
    // SAFETY: it is this thread's own.
    unsafe { *libc::__errno_location() = number };
    -1
}

/// Whether `count` bytes at `at` (none: where the file stands) want room that is not there.
fn is_full(fd: c_int, count: usize, at: Option<i64>) -> bool {
    if !fails("full", fd) {
        return false;
    }
    // SAFETY: both ask and change nothing; the second fills what it is given.
    let (at, size) = unsafe {
        let at = at.unwrap_or_else(|| libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR));
        let mut stat = std::mem::zeroed::<libc::stat>();
        let known = libc::fstat(fd, &mut stat) == 0;
        (at, if known { stat.st_size } else { 0 })
    };
    at.saturating_add(i64::try_from(count).unwrap_or(i64::MAX)) > size
}

fn size(count: c_long) -> isize {
    isize::try_from(count).unwrap_or(-1)
}

/// # Safety
/// As the C library's `write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, count: usize) -> isize {
    if is_full(fd, count, None) {
        return error(libc::ENOSPC);
    }
    // SAFETY: handed on as it came.
    size(unsafe { libc::syscall(libc::SYS_write, fd, bytes, count) })
}

/// # Safety
/// As the C library's `pwrite`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(fd: c_int, bytes: *const c_void, count: usize, at: i64) -> isize {
    if is_full(fd, count, Some(at)) {
        return error(libc::ENOSPC);
    }
    // SAFETY: handed on as it came.
    size(unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, count, at) })
}

/// # Safety
/// As the C library's `pwrite64`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, count: usize, at: i64) -> isize {
    // SAFETY: handed on as it came.
    unsafe { pwrite(fd, bytes, count, at) }
}

/// Waits for the disk.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    sync(libc::SYS_fsync, fd)
}

/// Waits for the disk.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(libc::SYS_fdatasync, fd)
}

fn sync(call: c_long, fd: c_int) -> c_int {
    if fails("no-sync", fd) {
        error(libc::EIO);
        return -1;
    }
    // SAFETY: a number is all it takes.
    c_int::try_from(unsafe { libc::syscall(call, fd) }).unwrap_or(-1)
}
