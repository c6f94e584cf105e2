//! The allocator, and what training asks of it.

use libmimalloc_sys::{mi_option_set, mi_option_t, mi_option_use_numa_nodes};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// After how many milliseconds freed memory goes back to the system; it has its place in mimalloc's list of options before
/// the number of nodes, and no name in the binding.
const PURGE_DELAY: mi_option_t = mi_option_use_numa_nodes - 1;

/// Keeps freed memory for the process from now on. A training step frees and asks for the same maps of up to 75 MB again and
/// again: given back and faulted in anew each time, two fifths of its time went into empty pages (docs/experiments.md).
pub fn keep_freed_memory() {
    // A wish in the environment comes first.
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: sets one number among the allocator's own, atomically.
        unsafe { mi_option_set(PURGE_DELAY, -1) };
    }
}
