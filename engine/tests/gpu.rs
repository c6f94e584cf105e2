//! The GPU gives the CPU's results: in integers bit for bit, in floats within a stated tolerance, or it refuses by name.
//!
//! Any adapter that Vulkan finds will do; Debian's mesa-vulkan-drivers has one in software. Without one the tests say in a
//! line that they are left out.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use engine::runtime::gpu::{Gpu, GpuError, GpuSession, Products};
use engine::{Session, Tensor};
use pollster::block_on;
use std::path::PathBuf;
use std::rc::Rc;

/// Largest difference of floats, relative above 1: sums come in the same order, but may be fused.
const TOLERANCE: f32 = 1e-5;

/// A device, if there is any.
fn gpu() -> Option<Rc<Gpu>> {
    match block_on(Gpu::open()) {
        Ok(gpu) => Some(Rc::new(gpu)),
        Err(error) => {
            println!("left out: {error}");
            None
        }
    }
}

fn graphs() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ops"));
    let mut graphs: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    graphs.sort();
    graphs
}

/// Values between -2 and 2, in an order of no pattern.
fn input(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 22) as f32 - 2.0;
    Tensor::from_vec(shape.to_vec(), (0..count).map(value).collect())
}

/// What both say of `onnx`; the GPU twice, so that what is left in buffers shows.
fn both(gpu: &Rc<Gpu>, onnx: &[u8], products: Products) -> Result<[Vec<f32>; 2], GpuError> {
    let session = block_on(GpuSession::load(gpu, onnx, products))?;
    let mut cpu = Session::load(onnx).unwrap();
    let input = input(cpu.input_shape());
    let wanted = cpu.run(&input).unwrap();
    let first = block_on(session.run(&input))?;
    let second = block_on(session.run(&input))?;
    assert_eq!(first, second);
    Ok([wanted.values().to_vec(), first.values().to_vec()])
}

fn difference([cpu, gpu]: &[Vec<f32>; 2]) -> f32 {
    assert_eq!(cpu.len(), gpu.len());
    cpu.iter()
        .zip(gpu)
        .map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() / a.abs().max(1.0) })
        .fold(0.0, f32::max)
}

#[test]
fn golden_graphs() {
    let Some(gpu) = gpu() else { return };
    println!("{:?}", gpu.adapter());
    let (mut wrong, mut refused, mut right) = (Vec::new(), Vec::new(), 0);
    for (name, onnx) in graphs() {
        let tolerance = if name.starts_with("q_") { 0.0 } else { TOLERANCE };
        match both(&gpu, &onnx, Products::Dot) {
            Ok(values) if difference(&values) <= tolerance => right += 1,
            Ok(values) => wrong.push(format!("{name}: {}", difference(&values))),
            Err(GpuError::Step { step, detail }) => refused.push(format!("{name}: {step}: {detail}")),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    println!("right {right}, refused {}:\n{}", refused.len(), refused.join("\n"));
    assert!(wrong.is_empty(), "wrong:\n{}", wrong.join("\n"));
}

#[test]
fn shipped_networks() {
    let Some(gpu) = gpu() else { return };
    let onnx =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/first-int8/stage1.onnx")).unwrap();
    for products in [Products::Dot, Products::F32] {
        let started = std::time::Instant::now();
        let [cpu, ours] = both(&gpu, &onnx, products).unwrap();
        println!("{products:?} {cpu:?} {ours:?} {:?}", started.elapsed());
        assert_eq!(cpu, ours);
    }
}
