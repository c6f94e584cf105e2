//! Ten thousand runs on a GPU leave memory flat. Alone in its process: what other tests take would count.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use engine::runtime::gpu::{Gpu, GpuSession, Products};
use engine::{Session, Tensor};
use pollster::block_on;
use std::rc::Rc;

#[test]
fn g10_ten_thousand_runs_leave_memory_flat() {
    let gpu = match block_on(Gpu::open()) {
        Ok(gpu) => Rc::new(gpu),
        Err(error) => return println!("left out: {error}"),
    };
    let onnx =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ops/q_add_to_itself.onnx")).unwrap();
    let session = block_on(GpuSession::load(&gpu, &onnx, Products::Dot)).unwrap();
    let shape = Session::load(&onnx).unwrap().input_shape().to_vec();
    let values = (0..shape.iter().product()).map(|i: usize| (i % 9) as f32 / 4.0 - 1.0).collect();
    let input = Tensor::from_vec(shape, values);
    let run = |count: usize| (0..count).for_each(|_| drop(block_on(session.run(&input)).unwrap()));
    run(1_000);
    let before = resident_kib();
    run(9_000);
    let grown = resident_kib().saturating_sub(before);
    println!("{grown} KiB more after 9,000 runs");
    assert!(grown < 16 << 10, "{grown} KiB more after 9,000 runs");
}

/// Memory of this process.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
