//! Memory that is wiped when it is given back: what was a prompt, an answer or a key does not stay in the heap.
//!
//! A text passes through many hands: a decoder, the task, a template, a tokenizer, the engine's queue, chunks, JSON. Most of
//! them are other people's code, and every one leaves copies behind when it is done. So it is not the hands that are asked
//! to wipe, but the heap: a block is filled with zeros before the system's allocator takes it back. What remains are
//! texts still in use, values on the stack, and what C++ allocates (ONNX Runtime sees token ids and no text).
//!
//! The cost is one pass over each block, which was in the cache a moment ago.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::ptr;

/// The system's allocator, with wiping.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WipingAllocator;

// SAFETY: every block comes from the system's allocator and goes back to it with the layout that it was asked for with;
// nothing here unwinds.
#[allow(unsafe_code, reason = "an allocator cannot be written without it")]
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is as long as its layout says, and nobody uses it any more.
        unsafe {
            ptr::write_bytes(block, 0, layout.size());
            // Writing to memory that is about to be freed looks useless to a compiler: here it may be read.
            System.dealloc(black_box(block), layout);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // The system's own may move a block and leave the old one as it was.
        // SAFETY: the caller promises that `new_size` is not zero and fits a layout of this alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: both blocks are at least as long as what is copied, and they are not the same.
        unsafe {
            let new = self.alloc(new_layout);
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}
