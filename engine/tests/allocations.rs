//! A run asks for no memory but its result's: everything else was planned when the file was loaded.
#![cfg(not(target_arch = "wasm32"))]

use engine::{Session, Tensor};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Requests of this thread: the harness has threads of its own.
    static REQUESTS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts.
struct Counting;

// SAFETY: the system's allocator, called as this one is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.set(REQUESTS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        REQUESTS.set(REQUESTS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_run_asks_for_its_result_alone() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ops");
    let mut failures = Vec::new();
    let mut graphs = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "onnx") {
            continue;
        }
        graphs += 1;
        let mut session = Session::load(&std::fs::read(&path).unwrap()).unwrap();
        let shape = session.input_shape().to_vec();
        let elements: usize = shape.iter().product();
        let values = (0..elements).map(|i| (i as f32 * 0.37).sin()).collect();
        let input = Tensor::from_vec(shape, values);
        // The first run as well.
        for run in 1..=2 {
            let before = REQUESTS.get();
            let output = session.run(&input);
            let requests = REQUESTS.get() - before;
            // Its values, and its shape unless it has no axes.
            let of_the_result = 1 + usize::from(!output.unwrap().shape().is_empty());
            if requests != of_the_result {
                failures.push(format!("{}: {requests} requests in run {run}", path.display()));
            }
        }
    }
    assert!(graphs > 150, "only {graphs} graphs were found");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
