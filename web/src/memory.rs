//! Memory that the browser refuses, said as such.
//!
//! A Rust program that is refused memory stops without a word, and the page could not tell that from a mistake of ours.
//! This allocator throws into JavaScript instead. The wasm instance is lost either way, and its worker with it.

use std::alloc::{GlobalAlloc, Layout, System};

/// What the worker's `error` event says.
pub const REFUSED: &str = "the browser refused more memory";

/// The system's allocator, which throws [`REFUSED`] where that would give nothing.
pub struct TellingAllocator;

// SAFETY: everything is the system allocator's; what it does not give never returns.
#[allow(unsafe_code, reason = "an allocator is an unsafe trait")]
unsafe impl GlobalAlloc for TellingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the same.
        given(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the same.
        given(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are the same.
        given(unsafe { System.realloc(block, layout, size) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(block, layout) }
    }
}

fn given(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        // The text lies in the wasm itself: throwing it takes no memory of ours.
        wasm_bindgen::throw_str(REFUSED);
    }
    block
}
