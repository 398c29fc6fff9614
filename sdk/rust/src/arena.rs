//! A bump allocator for instances that live for one call.
//!
//! Freed memory is not reused, except for the last block: growing a `String` or `Vec` at the end,
//! the common case, moves nothing. Allocation starts in a static array and continues in the rest of
//! the memory's last page, because growing the memory costs the host more than a whole call.

#![expect(unsafe_code, reason = "an allocator")]

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    ptr,
};

/// Enough for most events. All of it is cleared after each call, used or not. Together with the
/// stack and some data of a plugin it makes two pages.
const STATIC_BYTES: usize = 48 << 10;
const PAGE_BYTES: usize = 64 << 10;
/// Least growth the first time that the memory is full.
const GROWTH_BYTES_FIRST: usize = 256 << 10;
/// Least growth each time after that.
const GROWTH_BYTES_MIN: usize = 512 << 10;

/// Marks the module for the host: this guest needs no memory in reserve.
#[unsafe(link_section = "antar:arena")]
#[used]
static MARK: [u8; 1] = [1];

unsafe extern "C" {
    /// Defined by the linker: the end of everything that it placed. Only the address has a meaning.
    static __heap_base: u8;
}

#[global_allocator]
static ARENA: Arena =
    Arena { space: UnsafeCell::new(Space { next: 0, end: 0, place: Place::Nowhere }) };

static FIRST: First = First(UnsafeCell::new([0; STATIC_BYTES]));

#[repr(align(16))]
struct First(UnsafeCell<[u8; STATIC_BYTES]>);

// SAFETY: instances have one thread.
unsafe impl Sync for First {}

struct Arena {
    space: UnsafeCell<Space>,
}

/// Addresses of the free range, and the region it lies in.
struct Space {
    next: usize,
    end: usize,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    /// In the static array.
    First,
    /// Between what the linker placed and the end of the last page.
    LastPage,
    /// In pages from `memory.grow`.
    Grown,
}

// SAFETY: instances have one thread.
unsafe impl Sync for Arena {}

impl Space {
    fn take(&mut self, size: usize, align: usize) -> Option<usize> {
        loop {
            let start = self.next.checked_next_multiple_of(align)?;
            let end = start.checked_add(size)?;
            if end <= self.end && self.end != 0 {
                self.next = end;
                return Some(start);
            }
            self.more(size.checked_add(align)?)?;
        }
    }

    /// Continues in the next region. The rest of this one is lost unless the next follows directly.
    fn more(&mut self, size: usize) -> Option<()> {
        let (place, start, bytes) = match self.place {
            Place::Nowhere => (Place::First, FIRST.0.get() as usize, STATIC_BYTES),
            Place::First => {
                let start = &raw const __heap_base as usize;
                let end = core::arch::wasm32::memory_size(0) * PAGE_BYTES;
                (Place::LastPage, start, end.saturating_sub(start))
            }
            Place::LastPage => grown(size.max(GROWTH_BYTES_FIRST))?,
            Place::Grown => grown(size.max(GROWTH_BYTES_MIN))?,
        };
        if start != self.end {
            self.next = start;
        }
        (self.place, self.end) = (place, start + bytes);
        Some(())
    }
}

fn grown(bytes: usize) -> Option<(Place, usize, usize)> {
    let pages = bytes.div_ceil(PAGE_BYTES);
    let before = core::arch::wasm32::memory_grow(0, pages);
    (before != usize::MAX).then(|| (Place::Grown, before * PAGE_BYTES, pages * PAGE_BYTES))
}

// SAFETY: blocks don't overlap: each begins where the one before ended, and only the last one is
// given back or resized.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and no reference outlives this call.
        let space = unsafe { &mut *self.space.get() };
        space.take(layout.size(), layout.align()).map_or(ptr::null_mut(), |at| at as *mut u8)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        let space = unsafe { &mut *self.space.get() };
        if block as usize + layout.size() == space.next {
            space.next = block as usize;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        let space = unsafe { &mut *self.space.get() };
        let is_last = block as usize + layout.size() == space.next;
        let end = (block as usize).checked_add(new_size);
        if let Some(end) = end.filter(|end| is_last && *end <= space.end) {
            space.next = end;
            return block;
        }
        if new_size <= layout.size() {
            return block;
        }
        let Some(moved) = space.take(new_size, layout.align()) else { return ptr::null_mut() };
        // SAFETY: `take` never hands out what is in use, so the two don't overlap.
        unsafe { ptr::copy_nonoverlapping(block, moved as *mut u8, layout.size()) };
        moved as *mut u8
    }
}
