//! Networks on this machine's GPU beside the CPU: whether both give the same, and how long each takes.
//!
//!     cargo run --release -p engine --features gpu --example gpu -- [--runs N] [--tolerance X] [--profile] FILE.onnx ...
//!
//! Files in integers must agree bit for bit, unless a tolerance is given for what attention does in floats. Ends with 1 if
//! a result differs, and with 0 and a line where there is no GPU.

use engine::runtime::gpu::{Gpu, GpuSession, Peak, choice};
use engine::{Session, Tensor};
use pollster::block_on;
use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

/// What the command line asks for.
struct Arguments {
    files: Vec<String>,
    runs: usize,
    tolerance: f32,
    with_profile: bool,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = arguments()?;
    let gpu = match block_on(Gpu::open()) {
        Ok(gpu) => Rc::new(gpu),
        Err(error) => {
            println!("left out: {error}");
            return Ok(ExitCode::SUCCESS);
        }
    };
    println!("adapter: {}", serde_json::to_string(gpu.adapter())?);
    let mut is_right = true;
    for file in &arguments.files {
        is_right &= compare(&gpu, file, &arguments)?;
    }
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut arguments = Arguments { files: Vec::new(), runs: 10, tolerance: 0.0, with_profile: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--runs" => arguments.runs = words.next().ok_or("--runs takes a number")?.parse()?,
            "--tolerance" => {
                arguments.tolerance = words.next().ok_or("--tolerance takes a number")?.parse()?
            }
            "--profile" => arguments.with_profile = true,
            _ => arguments.files.push(word),
        }
    }
    if arguments.files.is_empty() || arguments.runs == 0 {
        return Err("usage: gpu [--runs N] [--tolerance X] [--profile] FILE.onnx ...".into());
    }
    Ok(arguments)
}

/// Whether every variant gives what the CPU gives.
fn compare(gpu: &Rc<Gpu>, file: &str, arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let onnx = std::fs::read(file)?;
    let mut cpu = Session::load_fastest(&onnx, &now_ms())?;
    let input = waves(cpu.input_shape());
    let wanted = cpu.run(&input)?;
    let mut cpu_ms = Vec::new();
    let mut is_right = true;
    for products in choice::variants(gpu) {
        let started = Instant::now();
        let session = block_on(GpuSession::load(gpu, &onnx, products))?;
        let result = block_on(session.run(&input))?;
        let first_ms = milliseconds(started);
        let difference = difference(wanted.values(), result.values());
        is_right &= difference <= arguments.tolerance;
        let mut gpu_ms = Vec::new();
        for _ in 0..arguments.runs {
            let started = Instant::now();
            cpu.run(&input)?;
            cpu_ms.push(milliseconds(started));
            let started = Instant::now();
            block_on(session.run(&input))?;
            gpu_ms.push(milliseconds(started));
        }
        let times = block_on(session.profile(&[&input]))?;
        let device_ms = times.as_ref().map_or(f64::NAN, |times| times.iter().sum());
        println!(
            "{file}: {products:?}: difference {difference:e}, {} launches, {:.1} MB on the device; load and first run \
             {first_ms:.1} ms, median {:.2} ms, {device_ms:.3} ms by the device's clock; CPU median {:.2} ms",
            session.program().launches.len(),
            session.memory_bytes() as f64 / 1e6,
            median(&mut gpu_ms),
            median(&mut cpu_ms),
        );
        if let Some(times) = times.filter(|_| arguments.with_profile)
            && let Some(peak) = block_on(Peak::measure(gpu))?
        {
            print_profile(&session, &times, &peak);
        }
    }
    Ok(is_right)
}

/// Time, multiply-adds and bytes of each kind of kernel, and what share of the device's roof it reaches.
fn print_profile(session: &GpuSession, times: &[f64], peak: &Peak) {
    #[derive(Default)]
    struct Kind {
        launches: usize,
        ms: f64,
        roof_ms: f64,
        multiply_adds: u64,
        bytes: usize,
    }
    let mut kinds: BTreeMap<&str, Kind> = BTreeMap::new();
    for (launch, time) in session.program().launches.iter().zip(times) {
        let kind = kinds.entry(launch.shader.name()).or_default();
        kind.launches += 1;
        kind.ms += time;
        kind.roof_ms += peak.roof_ms(launch);
        kind.multiply_adds += launch.multiply_adds;
        kind.bytes += launch.bytes;
    }
    let per_ms = 1e6;
    println!(
        "roof: {:.1} GMAC/s of bytes, {:.1} GB/s",
        peak.multiply_adds_per_ms / per_ms,
        peak.bytes_per_ms / per_ms
    );
    println!(
        "kernel                     launches         ms      MMAC    GMAC/s       KiB      GB/s   of roof"
    );
    for (name, kind) in kinds {
        println!(
            "{name:26} {:8} {:10.4} {:9.2} {:9.1} {:9.1} {:9.2} {:7.1} %",
            kind.launches,
            kind.ms,
            kind.multiply_adds as f64 / 1e6,
            kind.multiply_adds as f64 / kind.ms / per_ms,
            kind.bytes as f64 / 1024.0,
            kind.bytes as f64 / kind.ms / per_ms,
            100.0 * kind.roof_ms / kind.ms
        );
    }
}

fn difference(wanted: &[f32], given: &[f32]) -> f32 {
    let pairs = wanted.iter().zip(given);
    pairs.map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() / a.abs().max(1.0) }).fold(0.0, f32::max)
}

/// Values through the range of normalised pictures.
fn waves(shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    Tensor::from_vec(shape.to_vec(), (0..count).map(|i| 2.0 * (i as f32 * 0.37).sin()).collect())
}

fn now_ms() -> impl Fn() -> f64 {
    let started = Instant::now();
    move || milliseconds(started)
}

fn milliseconds(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
