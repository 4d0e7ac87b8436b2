//! The program's allocator with a counter in front: how often a piece of work asks for memory.

#![expect(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use mimalloc::MiMalloc;

/// Counts calls of this thread; a relaxed atomic would cost more than what it counts.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

fn note(size: usize) {
    COUNT.set(COUNT.get() + 1);
    BYTES.set(BYTES.get() + size as u64);
}

// SAFETY: every call goes to `MiMalloc` unchanged. The counters are constants of the thread without
// destructor, so that using them never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps the contract of the same call.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps the contract of the same call.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: the caller keeps the contract of the same call.
        unsafe { MiMalloc.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of the same call.
        unsafe { MiMalloc.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a piece of work asked for.
#[derive(Clone, Copy, Debug)]
pub struct Allocations {
    /// Allocations and growths.
    pub count: u64,
    /// Their sizes, added up.
    pub bytes: u64,
}

/// Counts the allocations of `work` on this thread.
pub fn count(work: impl FnOnce()) -> Allocations {
    let (count, bytes) = (COUNT.get(), BYTES.get());
    work();
    Allocations { count: COUNT.get() - count, bytes: BYTES.get() - bytes }
}
