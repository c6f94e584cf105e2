//! The GPU gives the CPU's results: in integers bit for bit, in floats within a stated tolerance, or it refuses by name.
//!
//! Any adapter that Vulkan finds will do; Debian's mesa-vulkan-drivers has one in software. Without one the tests say in a
//! line that they are left out.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use engine::runtime::gpu::choice::variants;
use engine::runtime::gpu::{Choice, Gpu, GpuError, GpuSession, Place, Products, Program};
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
    // Maps whose channels are no whole words, but for pictures, and trees.
    assert!(refused.len() <= 16, "{} graphs are refused", refused.len());
    assert!(wrong.is_empty(), "wrong:\n{}", wrong.join("\n"));
}

#[test]
fn shipped_networks() {
    let Some(gpu) = gpu() else { return };
    let onnx = std::fs::read(SHIPPED).unwrap();
    for products in [Products::Dot, Products::F32] {
        let [cpu, ours] = both(&gpu, &onnx, products).unwrap();
        assert_eq!(cpu, ours, "{products:?}");
    }
}

#[test]
fn the_filter_takes_fifty_launches_and_reads_back_a_logit() {
    let onnx = std::fs::read(SHIPPED).unwrap();
    let graph = engine::runtime::onnx::parse(&onnx).unwrap();
    let program = Program::new(&graph, Products::Dot).unwrap();
    assert!(program.launches.len() <= 50, "{} launches", program.launches.len());
    let floats: usize = program.outputs.iter().map(|output| output.shape.iter().product::<usize>()).sum();
    assert!(4 * floats <= 256, "{floats} floats are read back");
    // Weights stay bytes: two words more for each output.
    let words: usize = program.launches.iter().map(|launch| launch.constants.len()).sum();
    assert!(4 * words < 3_000_000, "{} bytes of constants", 4 * words);
}

#[test]
fn the_choice_is_made_of_right_answers() {
    let Some(gpu) = gpu() else { return };
    let started = std::time::Instant::now();
    let choice = block_on(Choice::measure(&gpu, &|| started.elapsed().as_secs_f64() * 1e3));
    let places: Vec<Place> = choice.times_ms.iter().map(|time| time.0).collect();
    assert_eq!(places[0], Place::Cpu);
    // Each variant that this device compiles gave the CPU's numbers.
    assert_eq!(places.len(), 1 + variants(&gpu).len(), "{choice:?}");
    assert!(places.contains(&choice.place));
    let json = serde_json::to_string(&choice).unwrap();
    assert_eq!(serde_json::from_str::<Choice>(&json).unwrap(), choice);
}

#[test]
fn g06_an_error_of_the_device_spoils_what_comes_after_it() {
    let Some(gpu) = gpu() else { return };
    let onnx = std::fs::read(SHIPPED).unwrap();
    let session = block_on(GpuSession::load(&gpu, &onnx, Products::Dot)).unwrap();
    let input = input(Session::load(&onnx).unwrap().input_shape());
    block_on(session.run(&input)).unwrap();
    // A buffer that no device has.
    let size = u64::MAX / 2;
    let usage = wgpu30::BufferUsages::STORAGE;
    let _ = gpu.device().create_buffer(&wgpu30::BufferDescriptor {
        label: None,
        size,
        usage,
        mapped_at_creation: false,
    });
    for _ in 0..2 {
        assert!(matches!(block_on(session.run(&input)), Err(GpuError::Fault { .. })));
    }
}

#[test]
fn g04_a_lost_device_gives_no_result() {
    let Some(gpu) = gpu() else { return };
    let onnx = std::fs::read(SHIPPED).unwrap();
    let session = block_on(GpuSession::load(&gpu, &onnx, Products::Dot)).unwrap();
    let input = input(Session::load(&onnx).unwrap().input_shape());
    gpu.destroy();
    for _ in 0..2 {
        let error = block_on(session.run(&input)).unwrap_err();
        assert!(matches!(error, GpuError::Lost { .. } | GpuError::Fault { .. }), "{error}");
    }
}

/// The network in integers that the page judges with.
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/first-int8/stage1.onnx");
